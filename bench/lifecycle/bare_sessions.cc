// SPDX-License-Identifier: Apache-2.0
// The memory that ONNX Runtime takes for sessions, opened with the options that the backend uses,
// each of which has run once: so the runtime has what it keeps from then on.
//   bare_sessions LIBRARY MODEL_FILE COUNT
// Prints RssAnon with one session and with COUNT, in bytes.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "peers/ort_session.h"
#include "penstock/backend.h"

namespace {

using namespace penstock::onnxruntime;

uint64_t OwnMemoryBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t kilobytes = 0;
    if (word == "RssAnon:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

// Of a model with an input "x" and an output "y", both float32[n].
void RunOnce(const OrtApi& api, OrtSession* session) {
  OrtMemoryInfo* memory = nullptr;
  api.Check(api.CreateCpuMemoryInfo(/*allocator=*/0, /*memory=*/0, &memory), "memory");
  float number = 1;
  const int64_t shape = 1;
  OrtValue* input = nullptr;
  OrtValue* output = nullptr;
  api.Check(api.CreateTensorWithDataAsOrtValue(memory, &number, sizeof(number), &shape, 1,
                                               ToOrtType(PENSTOCK_FLOAT32), &input),
            "input");
  const char* const input_name = "x";
  const char* const output_name = "y";
  api.Check(api.Run(session, nullptr, &input_name, &input, 1, &output_name, 1, &output), "run");
  api.ReleaseValue(input);
  api.ReleaseValue(output);
  api.ReleaseMemoryInfo(memory);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto api = OrtApi::Open(argv[1]);
  OrtEnv* const env = MakeEnvironment(api);
  const int count = std::atoi(argv[3]);
  uint64_t one = 0;
  for (int i = 0; i < count; ++i) {
    RunOnce(api, OpenSession(api, env, argv[2]));
    if (i == 0) one = OwnMemoryBytes();
  }
  std::printf("%llu %llu\n", static_cast<unsigned long long>(one),
              static_cast<unsigned long long>(OwnMemoryBytes()));
  std::fflush(stdout);
  std::_Exit(0);
}
