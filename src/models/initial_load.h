// SPDX-License-Identifier: Apache-2.0
// Reports when the models of the first configuration have been loaded. --listen=after_load opens
// the ports then.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "models/model_wait.h"

namespace penstock {

// The initial load is over when each model is served or has failed, as for a reload. If all models
// have failed, it is not over until one is served, because a server without any model must not look
// healthy. Thread-safe. `manager` must outlive it.
class InitialLoad final {
 public:
  // `on_end` is called once, by Start or on a thread of the manager. It gets OK, or the reasons why
  // some models are not served.
  InitialLoad(core::Manager& manager, std::function<void(const Status&)> on_end)
      : manager_(manager), on_end_(std::move(on_end)) {}
  ~InitialLoad() { Stop(); }
  InitialLoad(const InitialLoad&) = delete;
  InitialLoad& operator=(const InitialLoad&) = delete;

  // Begins to watch these models, which must be configured. Call it once.
  void Start(std::vector<std::string> names) EXCLUDES(mutex_);
  // After this returns, `on_end` is not running and will not be called. Do not call it in `on_end`.
  void Stop();

 private:
  void CheckIfOver() EXCLUDES(mutex_);
  // The status for `on_end`; nullopt if the initial load is not over.
  std::optional<Status> Outcome() REQUIRES(mutex_);
  bool IsAnyServed(const std::vector<std::string>& names) const;

  core::Manager& manager_;
  const std::function<void(const Status&)> on_end_;
  int listener_ = 0;  // used by Start and Stop
  Mutex mutex_;
  std::optional<ModelWait> wait_ GUARDED_BY(mutex_);  // empty after the initial load
  bool has_warned_ GUARDED_BY(mutex_) = false;
};

}  // namespace penstock
