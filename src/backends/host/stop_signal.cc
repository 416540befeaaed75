// SPDX-License-Identifier: Apache-2.0
#include "backends/host/stop_signal.h"

#include "penstock/backend.h"

namespace penstock {
namespace {

// The signal that this thread is setting, and whether its token fired meanwhile: the callback may
// end the run, so it must wait until Set is done with it.
thread_local const StopSignal* setting = nullptr;
thread_local bool fired_while_setting = false;

}  // namespace

int32_t StopSignal::Reason() const {
  if (token_ != nullptr && token_->IsCancelled()) return PENSTOCK_CANCELLED;
  if (deadline != kNoDeadline && Clock::Real().Now() >= deadline) return PENSTOCK_DEADLINE_EXCEEDED;
  return PENSTOCK_OK;
}

void StopSignal::Set(void (*callback)(void*), void* argument) {
  bool fire_now = false;
  {
    MutexLock lock(mutex_);
    callback_ = callback;
    argument_ = argument;
    used_.store(true, std::memory_order_release);
    const StopSignal* const outer = setting;
    setting = this;
    fired_while_setting = false;
    if (token_ != nullptr) {
      token_->SetCallback([this] {
        if (setting == this) {
          fired_while_setting = true;
        } else {
          Fire();
        }
      });
    }
    fire_now = fired_while_setting;
    setting = outer;
    if (deadline != kNoDeadline) {
      passed = [](DeadlineNode* node) { static_cast<StopSignal*>(node)->Fire(); };
      watch_.Add(*this);
    }
  }
  if (fire_now) Fire();
}

void StopSignal::Clear() {
  if (!used_.load(std::memory_order_acquire)) return;
  { MutexLock wait_for_set(mutex_); }
  fired_.store(true);
  if (token_ != nullptr) token_->ClearCallback();
  watch_.Remove(*this);
}

void StopSignal::Fire() {
  if (fired_.exchange(true)) return;
  callback_(argument_);
}

}  // namespace penstock
