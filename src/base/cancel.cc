// SPDX-License-Identifier: Apache-2.0
#include "base/cancel.h"

#include <utility>

namespace penstock {
namespace {

// The token whose callback this thread runs now. ClearCallback from inside the callback must not
// lock again.
thread_local const CancelToken* running_token = nullptr;

}  // namespace

void CancelToken::Cancel(CancelReason reason) {
  State open = State::kOpen;
  const State wanted = reason == CancelReason::kDeadline ? State::kExpired : State::kAbandoned;
  if (!state_.compare_exchange_strong(open, wanted, std::memory_order_acq_rel)) return;
  MutexLock lock(mutex_);
  if (!callback_) return;
  running_token = this;
  std::exchange(callback_, nullptr)();
  running_token = nullptr;
}

void CancelToken::SetCallback(absl::AnyInvocable<void()> callback) {
  MutexLock lock(mutex_);
  if (IsCancelled()) {
    running_token = this;
    callback();
    running_token = nullptr;
    return;
  }
  callback_ = std::move(callback);
  has_callback_.store(true, std::memory_order_release);
}

void CancelToken::ClearCallback() {
  if (!has_callback_.load(std::memory_order_acquire)) return;  // usual: no callback was set
  if (running_token == this) return;
  MutexLock lock(mutex_);
  callback_ = nullptr;
}

}  // namespace penstock
