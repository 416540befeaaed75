// SPDX-License-Identifier: Apache-2.0
#include "base/flow_control.h"

#include <utility>

namespace penstock {
namespace {

// A callback that this thread runs now. ClearCallback does not wait for those of its own thread.
struct Running {
  const FlowControl* const flow;
  const Running* const outer;
};

thread_local const Running* innermost_callback = nullptr;

int CountOwn(const FlowControl* flow) {
  int count = 0;
  for (const Running* each = innermost_callback; each != nullptr; each = each->outer) {
    if (each->flow == flow) ++count;
  }
  return count;
}

}  // namespace

void FlowControl::SetReady() {
  absl::AnyInvocable<void()> callback;
  {
    MutexLock lock(mutex_);
    slow_.store(false, std::memory_order_release);
    if (!callback_) return;
    callback = std::exchange(callback_, nullptr);
    ++running_;
  }
  // Without the lock: the callback gives parts, and the receiver may become slow meanwhile.
  const Running running = {this, innermost_callback};
  innermost_callback = &running;
  callback();
  innermost_callback = running.outer;
  MutexLock lock(mutex_);
  --running_;
  ended_.NotifyAll();
}

bool FlowControl::TrySetReady() {
  MutexLock lock(mutex_);
  if (callback_) return false;
  slow_.store(false, std::memory_order_release);
  return true;
}

bool FlowControl::SetCallback(absl::AnyInvocable<void()> callback) {
  MutexLock lock(mutex_);
  if (!IsSlow()) return false;
  callback_ = std::move(callback);
  return true;
}

void FlowControl::ClearCallback() {
  const int own = CountOwn(this);
  MutexLock lock(mutex_);
  callback_ = nullptr;
  while (running_ > own) ended_.Wait(mutex_);
}

}  // namespace penstock
