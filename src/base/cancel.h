// SPDX-License-Identifier: Apache-2.0
// How "the client no longer wants the answer" travels from the connection to the model.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"

namespace penstock {

enum class CancelReason : uint8_t { kClientLeft, kDeadline };

// Cancelled once, never reset. Thread-safe.
class CancelToken {
 public:
  bool IsCancelled() const { return state_.load(std::memory_order_acquire) != State::kOpen; }
  // True if the deadline of the request was the reason.
  bool HasExpired() const { return state_.load(std::memory_order_acquire) == State::kExpired; }

  // Marks it and runs the callback, if any, on this thread. Further calls do nothing.
  void Cancel(CancelReason reason = CancelReason::kClientLeft) EXCLUDES(mutex_);

  // Has `callback` run at the time of the cancel, at once if that was before. At most one is set at
  // a time.
  void SetCallback(absl::AnyInvocable<void()> callback) EXCLUDES(mutex_);

  // After the return the callback is not running (unless this is called from it) and will not run.
  void ClearCallback() EXCLUDES(mutex_);

 private:
  enum class State : uint8_t { kOpen, kAbandoned, kExpired };

  std::atomic<State> state_{State::kOpen};
  std::atomic<bool> has_callback_{false};
  Mutex mutex_;  // held while the callback runs, so that ClearCallback waits for it
  absl::AnyInvocable<void()> callback_ GUARDED_BY(mutex_);
};

}  // namespace penstock
