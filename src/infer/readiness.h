// SPDX-License-Identifier: Apache-2.0
// Whether the server, and each model, wants requests: what probes and health watches ask.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

#include "base/mutex.h"
#include "core/manager.h"

namespace penstock {

// Thread-safe. `manager` outlives it.
class Readiness final {
 public:
  explicit Readiness(core::Manager& manager);
  ~Readiness();
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  // True if the models that count (core::ReadinessRule) have a version available and the server is
  // not draining.
  bool IsServerReady() const;
  // Whether a version of the model is available and the server is not draining; none if the model
  // is not configured.
  std::optional<bool> IsModelReady(std::string_view model) const;

  // Not ready from now on, so that load balancers stop sending. Cannot be undone.
  void StartDraining();
  bool IsDraining() const { return draining_.load(std::memory_order_acquire); }

  // `listener` runs, on any thread, after anything that may have changed an answer above; it asks
  // what it wants to know. It must be quick and must not add or remove listeners.
  int AddListener(std::function<void()> listener);
  // After the return the listener is not running and will not run.
  void RemoveListener(int id);

 private:
  void Notify();

  core::Manager& manager_;
  std::atomic<bool> draining_{false};
  Mutex mutex_;  // held while listeners run, so that RemoveListener waits for them
  std::map<int, std::function<void()>> listeners_ GUARDED_BY(mutex_);
  int next_id_ GUARDED_BY(mutex_) = 1;
  int manager_listener_ = 0;  // fixed after construction
};

}  // namespace penstock
