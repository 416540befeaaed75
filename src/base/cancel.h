// SPDX-License-Identifier: Apache-2.0
// How "the client no longer wants the answer" travels from the connection to the model.
#pragma once

#include <atomic>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"

namespace penstock {

// Cancelled once, never reset. Thread-safe.
class CancelToken {
 public:
  bool IsCancelled() const { return cancelled_.load(std::memory_order_acquire); }

  // Marks it and runs the callback, if any, on this thread. Further calls do nothing.
  void Cancel() EXCLUDES(mutex_);

  // Has `callback` run at the time of the cancel, at once if that was before. At most one is set at
  // a time.
  void SetCallback(absl::AnyInvocable<void()> callback) EXCLUDES(mutex_);

  // After the return the callback is not running (unless this is called from it) and will not run.
  void ClearCallback() EXCLUDES(mutex_);

 private:
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> has_callback_{false};
  Mutex mutex_;  // held while the callback runs, so that ClearCallback waits for it
  absl::AnyInvocable<void()> callback_ GUARDED_BY(mutex_);
};

}  // namespace penstock
