// SPDX-License-Identifier: Apache-2.0
#include "base/cancel.h"

#include <utility>

namespace penstock {
namespace {

// A token whose callback this thread runs now. That callback may cancel other tokens, so there may
// be several. One thread.
struct RunningCallback {
  const CancelToken* token;
  const RunningCallback* outer;  // the one whose callback has cancelled this token; null: none
};
thread_local const RunningCallback* innermost_running = nullptr;

void RunOnThisThread(const CancelToken& token, absl::AnyInvocable<void()> callback) {
  const RunningCallback here{&token, innermost_running};
  innermost_running = &here;
  callback();
  innermost_running = here.outer;
}

bool RunsOnThisThread(const CancelToken& token) {
  for (const RunningCallback* each = innermost_running; each != nullptr; each = each->outer)
    if (each->token == &token) return true;
  return false;
}

}  // namespace

void CancelToken::Cancel(CancelReason reason) {
  if (Mark(reason)) RunCallback();
}

bool CancelToken::Mark(CancelReason reason) {
  State open = State::kOpen;
  const State wanted = reason == CancelReason::kDeadline      ? State::kExpired
                       : reason == CancelReason::kServerStops ? State::kStopped
                                                              : State::kAbandoned;
  // The first reason wins: a client that leaves after the deadline does not change the outcome.
  return state_.compare_exchange_strong(open, wanted, std::memory_order_acq_rel);
}

void CancelToken::RunCallback() {
  // The state has changed before the lock is taken. So a SetCallback at the same time either sees
  // the state and runs its callback, or leaves the callback for this thread. It is never lost.
  MutexLock lock(mutex_);
  if (!callback_) return;
  RunOnThisThread(*this, std::exchange(callback_, nullptr));
}

void CancelToken::SetCallback(absl::AnyInvocable<void()> callback) {
  MutexLock lock(mutex_);
  // Cancel will not come again, so the callback runs here.
  if (IsCancelled()) return RunOnThisThread(*this, std::move(callback));
  callback_ = std::move(callback);
  has_callback_.store(true, std::memory_order_release);
}

void CancelToken::ClearCallback() {
  if (!has_callback_.load(std::memory_order_acquire)) return;  // usual: no callback was set
  // The callback itself calls this: its thread holds the lock, and the callback is gone already.
  if (RunsOnThisThread(*this)) return;
  MutexLock lock(mutex_);
  callback_ = nullptr;
}

}  // namespace penstock
