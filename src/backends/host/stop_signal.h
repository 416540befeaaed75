// SPDX-License-Identifier: Apache-2.0
// Tells a backend that an answer is no longer wanted: the client cancelled, or the deadline passed.
#pragma once

#include <atomic>

#include "backends/host/deadline_watch.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace penstock {

// Of one run. Thread-safe. Destroy it only after Clear. `token` (may be null) outlives Clear.
class StopSignal final : private DeadlineNode {
 public:
  StopSignal(CancelToken* token, SteadyTime until, DeadlineWatch& watch)
      : token_(token), watch_(watch) {
    deadline = until;
  }

  // PENSTOCK_OK, PENSTOCK_CANCELLED or PENSTOCK_DEADLINE_EXCEEDED.
  int32_t Reason() const;

  // Has `callback(argument)` called once when Reason changes, at once if it has; it may end the
  // run. Called at most once.
  void Set(void (*callback)(void*), void* argument) EXCLUDES(mutex_);

  // After the return the callback is not running (unless this is called from it) and will not run.
  // Waits for Set, if another thread is in it.
  void Clear() EXCLUDES(mutex_);

 private:
  // Tells the token and the watch what to call.
  void Arrange();
  // Runs the callback, if it has not run yet. The signal may be gone afterwards.
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
