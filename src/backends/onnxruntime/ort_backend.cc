// SPDX-License-Identifier: Apache-2.0
// ONNX models on ONNX Runtime. Options of the backend: "library" (see FindRuntimeLibrary),
// "intra_op_threads", "custom_ops" (paths of operator libraries, separated by commas).
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "external_data.h"
#include "model_file.h"
#include "onnx_habits.h"
#include "onnx_rewrite.h"
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
  // The runtime's severities: verbose 0, info 1, warning 2, error 3, fatal 4. Errors also come back
  // as statuses, and clients can cause them at will: they must not fill the log.
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

// The parts of a list that is separated by commas.
std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

// ONNX Runtime reads these variables when it is opened. A value that the user has set stays.
void SetEnvironment() {
  // Before DisableTelemetryEvents can be called, it would open a database of events in the home
  // folder, and start a thread that sends them.
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);
}

}  // namespace

// Opens ONNX Runtime and loads models with it. Thread-safe.
class OrtBackend final : public plugin::Backend {
 public:
  explicit OrtBackend(const PenstockHost& host) {
    SetEnvironment();
    runtime_.api = OrtApi::Open(
        plugin::FindRuntimeLibrary(host, "PENSTOCK_ONNXRUNTIME_LIBRARY", "libonnxruntime.so*"));
    const OrtApi& api = runtime_.api;
    OrtThreadingOptions* raw_threads = nullptr;
    api.Check(api.CreateThreadingOptions(&raw_threads), "threads");
    const ThreadingOptionsPtr threads(raw_threads, {&api});
    api.Check(api.SetGlobalIntraOpNumThreads(raw_threads, ThreadsOption(host)), "threads");
    api.Check(api.SetGlobalInterOpNumThreads(raw_threads, 1), "threads");
    // Without this, idle pool threads spin on the CPU for a while after each run and take it from
    // other requests.
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
    custom_ops_ = Split(plugin::OptionOr({host.options, host.option_count}, "custom_ops", ""));
    const std::string text = "ONNX Runtime " + api.version;
    host.log(&host, PENSTOCK_LOG_INFO, plugin::ToC(text));
  }

  std::unique_ptr<plugin::Model> Load(const plugin::LoadArguments& arguments) override {
    const OrtApi& api = runtime_.api;
    const OnnxFile file = FindModel(arguments);
    OrtSessionOptions* raw_options = nullptr;
    api.Check(api.CreateSessionOptions(&raw_options), "options");
    const SessionOptionsPtr options(raw_options, {&api});
    // Each session would otherwise start a pool of its own: many models would mean many times more
    // threads than cores.
    api.Check(api.DisablePerSessionThreads(raw_options), "options");
    api.Check(api.SetSessionGraphOptimizationLevel(raw_options, kOptimizeAll), "options");
    for (const std::string& library : custom_ops_) {
      api.Check(api.RegisterCustomOpsLibrary_V2(raw_options, library.c_str()),
                ("cannot open the operator library " + library).c_str());
    }
    // The tables are made first, so that the session never outlives them.
    SharedTables tables;
    SessionPtr session = MakeSession(file, raw_options, tables);
    return MakeModel(runtime_, std::move(session), file, std::move(tables));
  }

  // 0 if the host's own estimate (the size of the files) is right. External data is in memory twice
  // while the model loads: once as read, once as the session copies it.
  uint64_t EstimateBytes(const plugin::LoadArguments& arguments) override {
    const OnnxFile file = ReadOnnxFile(FindModelFile(std::string(arguments.folder)));
    uint64_t external = 0;
    for (const ExternalTensor& tensor : file.external) external += ExternalBytes(tensor);
    if (external == 0) return 0;
    constexpr uint64_t kTimes = 2;
    return kTimes * external + FileBytes(file.path).size();
  }

 private:
  // The model of the option "model", or else the file in the folder.
  static OnnxFile FindModel(const plugin::LoadArguments& arguments) {
    const std::string_view model = plugin::OptionOr(arguments.options, "model", "");
    const std::string folder(arguments.folder);
    if (model.empty()) return ReadOnnxFile(FindModelFile(folder));
    return ReadOnnxFile(folder + "/(imported)", model);
  }

  // Sets `tables` to what the session uses.
  SessionPtr MakeSession(const OnnxFile& file, OrtSessionOptions* options, SharedTables& tables) {
    const OrtApi& api = runtime_.api;
    std::string what = "cannot load " + file.path;
    if (file.imports_onnx && file.opset < kOpsetMin) {
      what +=
          " (it has opset " + std::to_string(file.opset) +
          ", and ONNX Runtime has the operators from opset 7, ONNX 1.2, on; export it again, or "
          "convert it with onnx.version_converter)";
    }
    // Until the session exists, it reads external data from this object's memory.
    ExternalData data(api, runtime_.memory.get(), file, shared_, options);
    OrtSession* session = nullptr;
    if (NeedsRewrite(file)) {
      const std::string bytes = RewriteModel(file);
      api.Check(api.CreateSessionFromArray(runtime_.env.get(), bytes.data(), bytes.size(), options,
                                           &session),
                what.c_str());
    } else if (file.memory) {
      api.Check(api.CreateSessionFromArray(runtime_.env.get(), file.memory->data(),
                                           file.memory->size(), options, &session),
                what.c_str());
    } else {
      api.Check(api.CreateSession(runtime_.env.get(), file.path.c_str(), options, &session),
                what.c_str());
    }
    tables = data.TakeTables();
    return SessionPtr(session, {&api});
  }

  SharedBlocks shared_;
  std::vector<std::string> custom_ops_;  // paths
  Runtime runtime_;
};

}  // namespace penstock::onnxruntime

PENSTOCK_BACKEND(penstock::onnxruntime::OrtBackend, "onnxruntime", "1")
