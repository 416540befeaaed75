// SPDX-License-Identifier: Apache-2.0
// One opened backend.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "backends/host/abi.h"
#include "backends/host/backend_log.h"
#include "backends/host/deadline_watch.h"
#include "backends/host/detect.h"
#include "backends/host/host_options.h"
#include "base/mutex.h"
#include "base/status.h"
#include "infer/model.h"
#include "penstock/backend.h"

namespace penstock {

class HostedModel;

// An opened backend. It outlives its models. Its shared object is never closed, because runtimes do
// not support that. Thread-safe.
class Plugin final {
 public:
  // Opens and initialises the backend on the calling thread. The threads of the runtime inherit the
  // OS priority of this thread. `options` and `watch` outlive it. Errors: FAILED_PRECONDITION with
  // the reason, or the backend's own.
  static StatusOr<std::unique_ptr<Plugin>> Open(const InstalledBackend& installed,
                                                const BackendHostOptions& options,
                                                DeadlineWatch& watch);
  ~Plugin();

  // Loads the version in the folder `version_path` on the calling thread. Slow. Errors: UNAVAILABLE
  // if the backend has reported itself as broken, otherwise the backend's own, with the path.
  StatusOr<std::unique_ptr<Model>> Load(const std::string& version_path,
                                        const LoadOptions& options);
  // Returns the backend's estimate in bytes. 0: the backend has none.
  StatusOr<uint64_t> Estimate(const std::string& version_path, const LoadOptions& options);

 private:
  // The host as the backend sees it: the ABI's struct, and a way back from it to the plugin.
  struct Services final : PenstockHost {
    Plugin* plugin = nullptr;
  };

  Plugin(const PenstockBackend& table, const InstalledBackend& installed,
         const BackendHostOptions& options, DeadlineWatch& watch);
  Status Initialise();
  // Fills in the struct with the host's functions and settings, which the backend gets.
  void FillServices();
  // Called when the backend reports that `model` is broken, or, with null, the whole backend.
  void Broken(const void* model, std::string_view reason) EXCLUDES(mutex_);
  void BrokenAsAWhole(std::string_view reason) EXCLUDES(mutex_);
  // Returns UNAVAILABLE if the whole backend is broken.
  Status NotBroken() const REQUIRES(mutex_);
  StatusOr<abi::Description> Describe(void* loaded) const;
  // Calls the backend's `load`, and makes a Model of the result.
  StatusOr<std::unique_ptr<Model>> CallLoad(const std::string& version_path,
                                            const LoadOptions& options) EXCLUDES(mutex_);
  // Called when a model is about to be unloaded. After it returns, no report reaches the model.
  void Forget(const void* model) EXCLUDES(mutex_);
  // Records a metric of the backend. Characters that Prometheus does not allow in a name become
  // '_'.
  void Metric(int32_t kind, std::string_view name, double value);

  const PenstockBackend& table_;
  const InstalledBackend installed_;
  const BackendHostOptions& options_;
  DeadlineWatch& watch_;
  RepeatLimit log_limit_;
  std::vector<PenstockOption> option_list_;
  Services services_;
  void* backend_ = nullptr;
  bool initialised_ = false;
  Mutex mutex_;
  std::string broken_reason_ GUARDED_BY(mutex_);
  bool broken_ GUARDED_BY(mutex_) = false;
  std::map<const void*, HostedModel*> models_ GUARDED_BY(mutex_);
  // A backend may report a model as broken before its load has returned.
  int loads_ GUARDED_BY(mutex_) = 0;  // that are going on
  std::map<const void*, std::string> broken_early_ GUARDED_BY(mutex_);
};

}  // namespace penstock
