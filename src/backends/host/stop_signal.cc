// SPDX-License-Identifier: Apache-2.0
// The hard part is the end of a run inside its own callback. CancelToken::SetCallback calls back at
// once if the token is cancelled already. The backend's callback may then end the run, which
// destroys this signal and perhaps the token, while both are still in Set. So a thread in Set keeps
// a Setting on its stack (they may nest). A callback that comes from the token within Set is only
// noted there, and runs after SetCallback has returned. If Clear is called within Set, it marks the
// Setting, and Set then touches no member any more.
#include "backends/host/stop_signal.h"

#include "penstock/backend.h"

namespace penstock {
namespace {

// Notes that this thread is in Set of a signal. The callback may end the run, and with it the
// signal, while Set still runs.
struct Setting {
  const StopSignal* const signal;
  Setting* const outer;
  bool has_fired = false;  // the token called back at once
  bool is_over = false;    // Clear was called; the signal may be destroyed
};

thread_local Setting* innermost = nullptr;

Setting* SettingOf(const StopSignal* signal) {
  Setting* found = innermost;
  while (found != nullptr && found->signal != signal) found = found->outer;
  return found;
}

}  // namespace

int32_t StopSignal::Reason() const {
  if (token_ != nullptr && token_->IsCancelled()) return PENSTOCK_CANCELLED;
  if (deadline != kNoDeadline && Clock::Real().Now() >= deadline) return PENSTOCK_DEADLINE_EXCEEDED;
  return PENSTOCK_OK;
}

void StopSignal::Set(void (*callback)(void*), void* argument) {
  {
    MutexLock lock(mutex_);
    callback_ = callback;
    argument_ = argument;
    is_setting_ = true;
    used_.store(true, std::memory_order_release);
  }
  Setting setting = {this, innermost};
  innermost = &setting;
  Arrange();
  // Not from within the token's SetCallback: the run may end here, and the token may not outlive
  // it.
  if (setting.has_fired) Fire();
  innermost = setting.outer;
  if (setting.is_over) return;
  MutexLock lock(mutex_);
  is_setting_ = false;
  changed_.NotifyAll();
}

void StopSignal::Arrange() {
  if (token_ != nullptr) {
    token_->SetCallback([this] {
      if (Setting* const setting = SettingOf(this); setting != nullptr) {
        setting->has_fired = true;
      } else {
        Fire();
      }
    });
  }
  if (deadline != kNoDeadline) {
    passed = [](DeadlineNode* node) { static_cast<StopSignal*>(node)->Fire(); };
    watch_.Add(*this);
  }
}

void StopSignal::Clear() {
  if (!used_.load(std::memory_order_acquire)) return;
  if (Setting* const setting = SettingOf(this); setting != nullptr) {
    setting->is_over = true;
  } else {
    MutexLock lock(mutex_);
    while (is_setting_) changed_.Wait(mutex_);
  }
  fired_.store(true);
  if (token_ != nullptr) token_->ClearCallback();
  watch_.Remove(*this);
}

void StopSignal::Fire() {
  if (fired_.exchange(true)) return;
  callback_(argument_);
}

}  // namespace penstock
