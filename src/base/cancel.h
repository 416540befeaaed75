// SPDX-License-Identifier: Apache-2.0
// Carries "the client no longer wants the answer" from the connection to the model.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"
#include "base/status.h"

namespace penstock {

// Why nobody waits for the answer any more. The reason decides the code of the answer: CANCELLED,
// DEADLINE_EXCEEDED or UNAVAILABLE.
enum class CancelReason : uint8_t { kClientLeft, kDeadline, kServerStops };

// Can be cancelled once, and never reset. The network cancels it; a model asks it now and then, or
// sets a callback if it can interrupt its runtime:
//
//   if (cancel.IsCancelled()) return Stop();
//   cancel.SetCallback([&] { runtime.Interrupt(); });
//   runtime.Run();
//   cancel.ClearCallback();  // before what the callback uses goes away
//
// The callback runs on the thread that cancels, often an event loop, so it must be quick.
// Thread-safe.
class CancelToken {
 public:
  // Costs one load.
  bool IsCancelled() const { return state_.load(std::memory_order_acquire) != State::kOpen; }
  // True if the request's deadline was the reason.
  bool HasExpired() const { return state_.load(std::memory_order_acquire) == State::kExpired; }
  // True if the end of the server was the reason.
  bool HasStopped() const { return state_.load(std::memory_order_acquire) == State::kStopped; }

  // Cancels, and runs the callback, if any, on this thread. Further calls do nothing.
  void Cancel(CancelReason reason = CancelReason::kClientLeft) EXCLUDES(mutex_);

  // Cancel in two steps, for a thread that the callback must not interrupt, such as one on which
  // the model gives a part. Mark cancels without the callback. If it returns true, RunCallback must
  // follow on another thread, or later on this one. It returns false if the token is cancelled
  // already.
  [[nodiscard]] bool Mark(CancelReason reason = CancelReason::kClientLeft);
  void RunCallback() EXCLUDES(mutex_);

  // Sets the function that Cancel runs. Runs it at once if the token is cancelled already. There is
  // at most one at a time.
  void SetCallback(absl::AnyInvocable<void()> callback) EXCLUDES(mutex_);

  // Removes the callback. After this returns, the callback is not running (unless it is the caller)
  // and will not run.
  void ClearCallback() EXCLUDES(mutex_);

 private:
  enum class State : uint8_t { kOpen, kAbandoned, kExpired, kStopped };

  std::atomic<State> state_{State::kOpen};
  std::atomic<bool> has_callback_{false};
  Mutex mutex_;  // held while the callback runs, so that ClearCallback waits for it
  absl::AnyInvocable<void()> callback_ GUARDED_BY(mutex_);
};

// Returns the outcome of a call as its client sees it. If `token` is cancelled, that is its reason,
// no matter how or when the work ended. Otherwise it is `code`. `token` may be null.
inline StatusCode OutcomeOf(StatusCode code, const CancelToken* token) {
  if (token == nullptr || !token->IsCancelled()) [[likely]]
    return code;
  return token->HasExpired()   ? StatusCode::kDeadlineExceeded
         : token->HasStopped() ? StatusCode::kUnavailable
                               : StatusCode::kCancelled;
}

}  // namespace penstock
