// SPDX-License-Identifier: Apache-2.0
// Notifies a backend that an answer is no longer wanted: the client has cancelled, or the deadline
// has passed.
#pragma once

#include <atomic>

#include "backends/host/deadline_watch.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace penstock {

// The stop signal of one run. Thread-safe. Destroy it only after Clear. `token` (may be null)
// outlives Clear.
class StopSignal final : private DeadlineNode {
 public:
  StopSignal(CancelToken* token, SteadyTime until, DeadlineWatch& watch)
      : token_(token), watch_(watch) {
    deadline = until;
  }

  // Returns PENSTOCK_OK, PENSTOCK_CANCELLED or PENSTOCK_DEADLINE_EXCEEDED.
  int32_t Reason() const;

  // Calls `callback(argument)` once when Reason changes, or at once if it has changed already. The
  // callback may end the run. Call Set at most once.
  void Set(void (*callback)(void*), void* argument) EXCLUDES(mutex_);

  // Removes the callback. After this returns, the callback is not running (unless it is the caller)
  // and will not run. Waits if another thread is in Set.
  void Clear() EXCLUDES(mutex_);

 private:
  // Registers with the token and the watch.
  void Arrange();
  // Runs the callback, unless it has run. It may destroy the signal.
  void Fire();

  CancelToken* const token_;
  DeadlineWatch& watch_;
  std::atomic<bool> used_{false};
  std::atomic<bool> fired_{false};
  void (*callback_)(void*) = nullptr;
  void* argument_ = nullptr;
  Mutex mutex_;
  CondVar changed_;
  bool is_setting_ GUARDED_BY(mutex_) = false;  // a thread is in Set
};

}  // namespace penstock
