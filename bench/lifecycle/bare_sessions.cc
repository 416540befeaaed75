// SPDX-License-Identifier: Apache-2.0
// The memory that ONNX Runtime takes for sessions, opened with the options that the backend uses.
//   bare_sessions LIBRARY MODEL_FILE COUNT
// Prints RssAnon with one session and with COUNT, in bytes.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "peers/ort_session.h"

namespace {

uint64_t OwnMemoryBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t kilobytes = 0;
    if (word == "RssAnon:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto api = penstock::onnxruntime::OrtApi::Open(argv[1]);
  OrtEnv* const env = MakeEnvironment(api);
  const int count = std::atoi(argv[3]);
  uint64_t one = 0;
  for (int i = 0; i < count; ++i) {
    OpenSession(api, env, argv[2]);
    if (i == 0) one = OwnMemoryBytes();
  }
  std::printf("%llu %llu\n", static_cast<unsigned long long>(one),
              static_cast<unsigned long long>(OwnMemoryBytes()));
  std::fflush(stdout);
  std::_Exit(0);
}
