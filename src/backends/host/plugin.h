// SPDX-License-Identifier: Apache-2.0
// One opened backend.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "backends/host/backend_host.h"
#include "backends/host/border.h"
#include "backends/host/deadline_watch.h"
#include "backends/host/detect.h"
#include "base/mutex.h"
#include "base/status.h"
#include "infer/model.h"
#include "penstock/backend.h"

namespace penstock {

class HostedModel;

// Thread-safe. Outlives its models. Its shared object is never closed: runtimes do not survive
// that.
class Plugin final {
 public:
  // Opens and initialises it on the calling thread, whose OS priority the threads of the runtime
  // inherit. `options` and `watch` outlive it. FAILED_PRECONDITION, with the reason, or the
  // backend's own error.
  static StatusOr<std::unique_ptr<Plugin>> Open(const InstalledBackend& installed,
                                                const BackendHostOptions& options,
                                                DeadlineWatch& watch);
  ~Plugin();

  StatusOr<std::unique_ptr<Model>> Load(const std::string& version_path,
                                        const LoadOptions& options);
  // 0: the backend does not know.
  StatusOr<uint64_t> Estimate(const std::string& version_path, const LoadOptions& options);

 private:
  // What the backend sees of the host.
  struct Services final : PenstockHost {
    Plugin* plugin = nullptr;
  };

  Plugin(const PenstockBackend& table, const InstalledBackend& installed,
         const BackendHostOptions& options, DeadlineWatch& watch);
  Status Initialise();
  void FillServices();
  // The backend says that `model`, or with null itself, is broken.
  void Broken(const void* model, std::string_view reason) EXCLUDES(mutex_);
  void BrokenAsAWhole(std::string_view reason) EXCLUDES(mutex_);
  // UNAVAILABLE if the backend is broken as a whole.
  Status NotBroken() const REQUIRES(mutex_);
  StatusOr<border::Description> Describe(void* loaded) const;
  // Has the table's `load` called, and makes a model of what it gives.
  StatusOr<std::unique_ptr<Model>> CallLoad(const std::string& version_path,
                                            const LoadOptions& options) EXCLUDES(mutex_);
  void Forget(const void* model) EXCLUDES(mutex_);
  void Metric(int32_t kind, std::string_view name, double value);

  const PenstockBackend& table_;
  const InstalledBackend installed_;
  const BackendHostOptions& options_;
  DeadlineWatch& watch_;
  std::vector<PenstockOption> option_list_;
  Services services_;
  void* backend_ = nullptr;
  bool initialised_ = false;
  Mutex mutex_;
  std::string broken_reason_ GUARDED_BY(mutex_);
  bool broken_ GUARDED_BY(mutex_) = false;
  std::map<const void*, HostedModel*> models_ GUARDED_BY(mutex_);
  // Models may be reported as broken before their load has returned.
  int loads_ GUARDED_BY(mutex_) = 0;  // that are going on
  std::map<const void*, std::string> broken_early_ GUARDED_BY(mutex_);
};

}  // namespace penstock
