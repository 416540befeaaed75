// SPDX-License-Identifier: Apache-2.0
// The memory that ONNX Runtime takes for sessions, opened with the options that the backend uses.
//   bare_sessions LIBRARY MODEL_FILE COUNT
// Prints RssAnon with one session and with COUNT, in bytes.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "backends/onnxruntime/ort_api.h"

namespace {

using penstock::onnxruntime::OrtApi;

uint64_t OwnMemoryBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t kilobytes = 0;
    if (word == "RssAnon:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

OrtEnv* MakeEnvironment(const OrtApi& api) {
  OrtThreadingOptions* threads = nullptr;
  api.Check(api.CreateThreadingOptions(&threads), "threading options");
  api.Check(api.SetGlobalIntraOpNumThreads(threads, 1), "intra");
  api.Check(api.SetGlobalInterOpNumThreads(threads, 1), "inter");
  api.Check(api.SetGlobalSpinControl(threads, 0), "spin");
  OrtEnv* env = nullptr;
  const auto log = [](void*, int, const char*, const char*, const char*, const char*) {};
  api.Check(
      api.CreateEnvWithCustomLoggerAndGlobalThreadPools(log, nullptr, 3, "bench", threads, &env),
      "env");
  return env;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const OrtApi api = OrtApi::Open(argv[1]);
  OrtEnv* const env = MakeEnvironment(api);
  const int count = std::atoi(argv[3]);
  uint64_t one = 0;
  for (int i = 0; i < count; ++i) {
    OrtSessionOptions* options = nullptr;
    api.Check(api.CreateSessionOptions(&options), "options");
    api.Check(api.SetSessionGraphOptimizationLevel(options, penstock::onnxruntime::kOptimizeAll),
              "level");
    api.Check(api.DisablePerSessionThreads(options), "threads");
    OrtSession* session = nullptr;
    api.Check(api.CreateSession(env, argv[2], options, &session), argv[2]);
    api.ReleaseSessionOptions(options);
    if (i == 0) one = OwnMemoryBytes();
  }
  std::printf("%llu %llu\n", static_cast<unsigned long long>(one),
              static_cast<unsigned long long>(OwnMemoryBytes()));
  std::fflush(stdout);
  std::_Exit(0);
}
