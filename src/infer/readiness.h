// SPDX-License-Identifier: Apache-2.0
// Readiness of the server and of each model, for probes and health watches.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

#include "base/mutex.h"
#include "core/manager.h"

namespace penstock {

// Combines the readiness of the models with the drain of the server. It keeps no state of the
// models: each question goes to the manager's snapshot, without a lock. Thread-safe. `manager` must
// outlive it.
class Readiness final {
 public:
  explicit Readiness(core::Manager& manager);
  ~Readiness();
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  // True if the models that count (core::ReadinessRule) each have a version available, and the
  // server is not draining.
  bool IsServerReady() const;
  // True if a version of the model is available and the server is not draining. nullopt if the
  // model is not configured.
  std::optional<bool> IsModelReady(std::string_view model) const;

  // From now on the server is not ready, so that load balancers stop sending requests. This cannot
  // be undone.
  void StartDraining();
  bool IsDraining() const { return draining_.load(std::memory_order_acquire); }

  // `listener` is called, on any thread, after each event that may have changed an answer above. It
  // gets no details: it calls the functions above. It must be quick, and must not add or remove
  // listeners.
  int AddListener(std::function<void()> listener);
  // After this returns, the listener is not running and will not be called again.
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
