// SPDX-License-Identifier: Apache-2.0
// Carries "the receiver is slow" from the connection to the model that makes the parts of an
// answer.
#pragma once

#include <atomic>

#include "absl/functional/any_invocable.h"
#include "base/mutex.h"

namespace penstock {

// The state of the receiver of one answer, which the sender of its parts can wait for.
//
//   while (has_more) {
//     done(MakePart());                           // the receiver may set slow meanwhile
//     if (flow.IsSlow() && flow.SetCallback([this] { MakeMore(); })) return;  // goes on there
//   }
//
// Keep it alive until SetReady has returned, even if the callback ends the request. Thread-safe.
class FlowControl {
 public:
  bool IsSlow() const { return slow_.load(std::memory_order_acquire); }

  // For the receiver. It sets slow while it takes a part, before the sender makes the next one.
  void SetSlow() { slow_.store(true, std::memory_order_release); }
  // For the receiver. Runs the callback, if any, on this thread. The callback may compute the next
  // parts, and may set slow again, so do not call this on an event loop if models may be expensive.
  void SetReady() EXCLUDES(mutex_);
  // As SetReady, but does nothing and returns false if a callback is set.
  bool TrySetReady() EXCLUDES(mutex_);

  // For the sender. Sets the function that the next SetReady runs, once. Returns false, and drops
  // the function, if the receiver is ready. There is at most one function at a time.
  bool SetCallback(absl::AnyInvocable<void()> callback) EXCLUDES(mutex_);
  // Removes the callback. After this returns, the callback is not running (unless it is the caller)
  // and will not run.
  void ClearCallback() EXCLUDES(mutex_);

 private:
  std::atomic<bool> slow_{false};
  Mutex mutex_;
  CondVar ended_;
  absl::AnyInvocable<void()> callback_ GUARDED_BY(mutex_);
  int running_ GUARDED_BY(mutex_) = 0;  // calls of callbacks that have not returned
};

}  // namespace penstock
