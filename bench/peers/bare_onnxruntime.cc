// SPDX-License-Identifier: Apache-2.0
// The CPU time of one OrtApi::Run of a one-float model with the options that the backend uses: what
// serving the model cannot go below.  bare_onnxruntime LIBRARY MODEL_FILE INPUT OUTPUT CALLS
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "peers/ort_session.h"

namespace {

double CpuMicroseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const auto api = penstock::onnxruntime::OrtApi::Open(argv[1]);
  OrtSession* const session = OpenSession(api, MakeEnvironment(api), argv[2]);
  OrtMemoryInfo* memory = nullptr;
  api.Check(api.CreateCpuMemoryInfo(1, 0, &memory), "memory");
  const int calls = std::atoi(argv[5]);
  alignas(64) float x[16] = {3.0f};
  const int64_t shape[] = {1};
  double start = 0;
  for (int i = -calls / 10; i < calls; ++i) {
    if (i == 0) start = CpuMicroseconds();
    OrtValue* in = nullptr;
    OrtValue* out = nullptr;
    api.Check(api.CreateTensorWithDataAsOrtValue(memory, x, sizeof(float), shape, 1,
                                                 penstock::onnxruntime::kOrtFloat, &in),
              "input");
    api.Check(api.Run(session, nullptr, &argv[3], &in, 1, &argv[4], 1, &out), "run");
    void* data = nullptr;
    api.Check(api.GetTensorMutableData(out, &data), "output");
    if (*static_cast<float*>(data) != 3.5f) return 1;
    api.ReleaseValue(in);
    api.ReleaseValue(out);
  }
  std::printf("%.3f\n", (CpuMicroseconds() - start) / calls);
  std::fflush(stdout);
  std::_Exit(0);
}
