// SPDX-License-Identifier: Apache-2.0
// SavedModels and frozen graphs on TensorFlow's C interface.
// Options of the backend: "library" (see FindRuntimeLibrary) and "op_libraries" (see
// LoadOperations). Options of a load: "saved_model_tags" (comma-separated, default "serve"; may be
// empty); "inputs", "outputs", "more_outputs" and "names" (see GraphNames), also as lines of
// signature.txt in the model's folder.
#include <cstdlib>
#include <string>
#include <utility>

#include "penstock/backend.hpp"
#include "tf_api.h"
#include "tf_log.h"
#include "tf_model.h"
#include "tf_operations.h"
#include "wire.h"

namespace penstock::tensorflow {
namespace {

// Fields of ConfigProto.
constexpr uint32_t kIntraOpThreads = 2;
constexpr uint32_t kInterOpThreads = 5;
constexpr uint32_t kAllowSoftPlacement = 7;

// TensorFlow reads these variables when it is opened. A value that the user has set stays.
void SetEnvironment() {
  // Without it the memory of unloaded models never goes back to the system.
  setenv("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "true", 0);
  // Errors only: what a call reports comes back as its status anyway, and clients can cause many
  // warnings.
  setenv("TF_CPP_MIN_LOG_LEVEL", "2", 0);
}

std::string ConfigBytes(const PenstockHost& host) {
  std::string config;
  AppendVarintField(config, kIntraOpThreads, host.intra_op_threads);
  AppendVarintField(config, kInterOpThreads, host.inter_op_threads);
  // A graph that was placed on a device which is not here runs on the CPU.
  AppendVarintField(config, kAllowSoftPlacement, 1);
  return config;
}

}  // namespace

// Opens TensorFlow and loads SavedModels with it. Thread-safe.
class TfBackend final : public plugin::Backend {
 public:
  explicit TfBackend(const PenstockHost& host) : host_(host), log_(host) {
    // The order matters: the environment and the log must be ready before the library opens, and
    // the operations must be registered before a graph that uses them loads.
    SetEnvironment();
    const std::string library =
        plugin::FindRuntimeLibrary(host, "PENSTOCK_TENSORFLOW_LIBRARY", "libtensorflow_cc.so*");
    LibraryLog::TakeFrom(library);
    api_ = TfApi::Open(library);
    api_.RegisterLogListener(&LogPrint);
    LoadOperations(api_, plugin::OptionOr({host.options, host.option_count}, "op_libraries", ""));
    options_ = SessionOptionsPtr(api_.NewSessionOptions(), {&api_});
    const std::string config = ConfigBytes(host);
    CallStatus status(api_);
    api_.SetConfig(options_.get(), config.data(), config.size(), status.get());
    status.Check();
    inline_options_ = RunOptionsInline(api_);
    MakeThreadPools();
    const std::string text = std::string("TensorFlow ") + api_.Version();
    host.log(&host, PENSTOCK_LOG_INFO, plugin::ToC(text));
  }

  std::unique_ptr<plugin::Model> Load(const plugin::LoadArguments& arguments) override {
    return std::make_unique<TfModel>(
        host_, api_, inline_options_.get(),
        LoadGraph(api_, options_.get(), inline_options_.get(), arguments));
  }

 private:
  // TensorFlow makes its thread pools with the first session and shares them among all later ones.
  // The threads inherit the priority of the thread that makes them. Loads run at low priority, so a
  // first load would make slow pools for all models: therefore a session with an empty graph comes
  // first.
  void MakeThreadPools() {
    CallStatus status(api_);
    const GraphPtr graph(api_.NewGraph(), {&api_});
    TF_Operation* const nothing =
        api_.FinishOperation(api_.NewOperation(graph.get(), "NoOp", "nothing"), status.get());
    status.Check();
    const SessionPtr session(api_.NewSession(graph.get(), options_.get(), status.get()), {&api_});
    status.Check();
    api_.SessionRun(session.get(), nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0, &nothing, 1,
                    nullptr, status.get());
    status.Check();
  }

  const PenstockHost& host_;
  const LibraryLog log_;
  TfApi api_;
  SessionOptionsPtr options_;
  BufferPtr inline_options_;  // loads use it too, to stay on their thread of low priority
};

}  // namespace penstock::tensorflow

PENSTOCK_BACKEND(penstock::tensorflow::TfBackend, "tensorflow", "1")
