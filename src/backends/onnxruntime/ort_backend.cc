// SPDX-License-Identifier: Apache-2.0
// ONNX models on ONNX Runtime. Options of the backend: "library" (see FindRuntimeLibrary),
// "intra_op_threads".
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "ort_model.h"
#include "penstock/backend.hpp"

namespace penstock::onnxruntime {
namespace {

using plugin::Error;

constexpr int kDeviceAllocator = 0;
constexpr int kDefaultMemory = 0;

void Log(void* parameter, int severity, const char* /*category*/, const char* /*id*/,
         const char* /*location*/, const char* message) {
  const auto* const host = static_cast<const PenstockHost*>(parameter);
  // Theirs: verbose 0, info 1, warning 2, error 3, fatal 4. Errors come back as statuses, and
  // clients can cause them at will: they must not fill the log.
  const bool quiet = severity == kLogError || severity < kLogWarning;
  host->log(host, quiet ? PENSTOCK_LOG_DEBUG : PENSTOCK_LOG_WARNING, plugin::ToC(message));
}

int ThreadsOption(const PenstockHost& host) {
  const std::string_view text =
      plugin::OptionOr({host.options, host.option_count}, "intra_op_threads", "");
  if (text.empty()) return static_cast<int>(host.intra_op_threads);
  int threads = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (error != std::errc() || end != text.data() + text.size() || threads < 1) {
    throw Error(PENSTOCK_INVALID_ARGUMENT, "the option intra_op_threads is '" + std::string(text) +
                                               "', not a count from 1 on");
  }
  return threads;
}

// "model.onnx", or the only other .onnx file.
std::string ModelFile(const std::string& folder) {
  std::vector<std::string> names;
  DIR* const entries = opendir(folder.c_str());
  if (entries == nullptr) throw Error(PENSTOCK_NOT_FOUND, "cannot read the folder");
  while (const dirent* entry = readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (name.ends_with(".onnx") && name.front() != '.') names.emplace_back(name);
  }
  closedir(entries);
  if (std::find(names.begin(), names.end(), "model.onnx") != names.end()) names = {"model.onnx"};
  if (names.empty()) throw Error(PENSTOCK_NOT_FOUND, "the folder holds no .onnx file");
  if (names.size() > 1) {
    throw Error(PENSTOCK_INVALID_ARGUMENT, "the folder holds " + std::to_string(names.size()) +
                                               " .onnx files; call the one to serve model.onnx");
  }
  const std::string file = folder + "/" + names.front();
  struct stat info = {};
  if (stat(file.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    throw Error(PENSTOCK_INVALID_ARGUMENT, file + " is no regular file");
  }
  return file;
}

}  // namespace

// Thread-safe.
class OrtBackend final : public plugin::Backend {
 public:
  explicit OrtBackend(const PenstockHost& host) {
    runtime_.api = OrtApi::Open(
        plugin::FindRuntimeLibrary(host, "PENSTOCK_ONNXRUNTIME_LIBRARY", "libonnxruntime.so*"));
    const OrtApi& api = runtime_.api;
    OrtThreadingOptions* raw_threads = nullptr;
    api.Check(api.CreateThreadingOptions(&raw_threads), "threads");
    const ThreadingOptionsPtr threads(raw_threads, {&api});
    api.Check(api.SetGlobalIntraOpNumThreads(raw_threads, ThreadsOption(host)), "threads");
    api.Check(api.SetGlobalInterOpNumThreads(raw_threads, 1), "threads");
    api.Check(api.SetGlobalSpinControl(raw_threads, 0), "threads");
    OrtEnv* env = nullptr;
    api.Check(
        api.CreateEnvWithCustomLoggerAndGlobalThreadPools(
            Log, const_cast<PenstockHost*>(&host), kLogWarning, "penstock", raw_threads, &env),
        "environment");
    runtime_.env = EnvPtr(env, {&api});
    api.Check(api.DisableTelemetryEvents(env), "environment");
    OrtMemoryInfo* memory = nullptr;
    api.Check(api.CreateCpuMemoryInfo(kDeviceAllocator, kDefaultMemory, &memory), "memory");
    runtime_.memory = MemoryInfoPtr(memory, {&api});
    api.Check(api.GetAllocatorWithDefaultOptions(&runtime_.allocator), "memory");
    const std::string text = "ONNX Runtime " + api.version;
    host.log(&host, PENSTOCK_LOG_INFO, plugin::ToC(text));
  }

  std::unique_ptr<plugin::Model> Load(const plugin::LoadArguments& arguments) override {
    const OrtApi& api = runtime_.api;
    const std::string file = ModelFile(std::string(arguments.folder));
    OrtSessionOptions* raw_options = nullptr;
    api.Check(api.CreateSessionOptions(&raw_options), "options");
    const SessionOptionsPtr options(raw_options, {&api});
    api.Check(api.DisablePerSessionThreads(raw_options), "options");
    api.Check(api.SetSessionGraphOptimizationLevel(raw_options, kOptimizeAll), "options");
    OrtSession* session = nullptr;
    api.Check(api.CreateSession(runtime_.env.get(), file.c_str(), raw_options, &session),
              ("cannot load " + file).c_str());
    return MakeModel(runtime_, SessionPtr(session, {&api}), file);
  }

 private:
  Runtime runtime_;
};

}  // namespace penstock::onnxruntime

PENSTOCK_BACKEND(penstock::onnxruntime::OrtBackend, "onnxruntime", "1")
