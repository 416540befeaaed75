// SPDX-License-Identifier: Apache-2.0
// Sessions of ONNX Runtime with the options that the backend uses, and nothing around them: on
// process-wide pools of one thread, without spinning. Nothing is freed: the process ends with them.
#pragma once

#include "backends/onnxruntime/ort_api.h"

namespace penstock::onnxruntime {

inline OrtEnv* MakeEnvironment(const OrtApi& api) {
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

inline OrtSession* OpenSession(const OrtApi& api, OrtEnv* env, const char* model_file) {
  OrtSessionOptions* options = nullptr;
  api.Check(api.CreateSessionOptions(&options), "options");
  api.Check(api.SetSessionGraphOptimizationLevel(options, kOptimizeAll), "level");
  api.Check(api.DisablePerSessionThreads(options), "threads");
  OrtSession* session = nullptr;
  api.Check(api.CreateSession(env, model_file, options, &session), model_file);
  api.ReleaseSessionOptions(options);
  return session;
}

}  // namespace penstock::onnxruntime
