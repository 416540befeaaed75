// SPDX-License-Identifier: Apache-2.0
// The CPU time of one TF_SessionRun of a one-float model with the options that the backend uses
// inline: what serving the model cannot go below.  bare_tensorflow VERSION_FOLDER INPUT_OP
// OUTPUT_OP CALLS
#include <tensorflow/c/c_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>

namespace {

void Check(TF_Status* status) {
  if (TF_GetCode(status) == TF_OK) return;
  std::fprintf(stderr, "bare_tensorflow: %s\n", TF_Message(status));
  std::exit(1);
}

double CpuMicroseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

void KeepBuffer(void*, size_t, void*) {}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const int calls = std::atoi(argv[4]);
  setenv("TF_CPP_MIN_LOG_LEVEL", "3", 0);
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const unsigned char config[] = {0x10, 1, 0x28, 1};  // ConfigProto: intra 1, inter 1
  TF_SetConfig(options, config, sizeof(config), status);
  Check(status);
  const char* tags[] = {"serve"};
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, nullptr, argv[1], tags, 1, graph, nullptr, status);
  Check(status);
  const unsigned char run_bytes[] = {
      0x18, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0x01};  // RunOptions: inter_op_thread_pool -1
  const TF_Buffer run_options{run_bytes, sizeof(run_bytes), nullptr};
  const TF_Output input{TF_GraphOperationByName(graph, argv[2]), 0};
  const TF_Output output{TF_GraphOperationByName(graph, argv[3]), 0};
  if (input.oper == nullptr || output.oper == nullptr) {
    std::fprintf(stderr, "bare_tensorflow: no such operation\n");
    return 1;
  }
  alignas(64) float x[16] = {3.0f};
  const int64_t shape[] = {1};
  double start = 0;
  for (int i = -calls / 10; i < calls; ++i) {
    if (i == 0) start = CpuMicroseconds();
    TF_Tensor* in = TF_NewTensor(TF_FLOAT, shape, 1, x, sizeof(float), KeepBuffer, nullptr);
    TF_Tensor* out = nullptr;
    TF_SessionRun(session, &run_options, &input, &in, 1, &output, &out, 1, nullptr, 0, nullptr,
                  status);
    Check(status);
    if (*static_cast<float*>(TF_TensorData(out)) != 3.5f) return 1;
    TF_DeleteTensor(in);
    TF_DeleteTensor(out);
  }
  std::printf("%.3f\n", (CpuMicroseconds() - start) / calls);
  std::fflush(stdout);
  std::_Exit(0);
}
