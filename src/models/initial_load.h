// SPDX-License-Identifier: Apache-2.0
// Finds out when the first list of models has been loaded: --listen=after_load opens the ports
// then.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "models/model_wait.h"

namespace penstock {

// The initial load is over once each model is served or has failed, as for a reload. If all have
// failed it is not over until one is served: a server without any model must not look like a good
// one. Thread-safe. `manager` outlives it.
class InitialLoad final {
 public:
  // `on_end` is called once: by Start, or on a thread of the manager. It gets why some models are
  // not served, or OK.
  InitialLoad(core::Manager& manager, std::function<void(const Status&)> on_end)
      : manager_(manager), on_end_(std::move(on_end)) {}
  ~InitialLoad() { Stop(); }
  InitialLoad(const InitialLoad&) = delete;
  InitialLoad& operator=(const InitialLoad&) = delete;

  // Begins to watch these models, which are configured. Once.
  void Start(std::vector<std::string> names) EXCLUDES(mutex_);
  // After the return `on_end` is not running and will not run. Not from `on_end`.
  void Stop();

 private:
  void Look() EXCLUDES(mutex_);
  // Whether to call `on_end`, and with what.
  std::optional<Status> Outcome() REQUIRES(mutex_);
  bool IsAnyServed(const std::vector<std::string>& names) const;

  core::Manager& manager_;
  const std::function<void(const Status&)> on_end_;
  int listener_ = 0;  // used by Start and Stop
  Mutex mutex_;
  std::optional<ModelWait> wait_ GUARDED_BY(mutex_);  // empty once it is over
  bool has_warned_ GUARDED_BY(mutex_) = false;
};

}  // namespace penstock
