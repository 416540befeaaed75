// SPDX-License-Identifier: Apache-2.0
// Calls a backend back when an answer is no longer wanted (the client has cancelled, or the
// deadline has passed), and when a slow receiver can take the next part.
#pragma once

#include <array>
#include <atomic>

#include "backends/host/deadline_watch.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/flow_control.h"
#include "base/mutex.h"

namespace penstock {

// The signals of one run. Thread-safe. Destroy it only after Clear. `token` and `flow` (which may
// be null) outlive Clear. A run that waits for no signal takes no lock.
class RunSignals final : private DeadlineNode {
 public:
  using Callback = void (*)(void*);

  RunSignals(CancelToken* token, SteadyTime until, FlowControl* flow, DeadlineWatch& watch)
      : token_(token), flow_(flow), watch_(watch) {
    deadline = until;
  }

  // Returns PENSTOCK_OK, PENSTOCK_CANCELLED or PENSTOCK_DEADLINE_EXCEEDED.
  int32_t StopReason() const;
  bool IsSlow() const { return flow_ != nullptr && flow_->IsSlow(); }

  // Calls `callback(argument)` once when StopReason changes, or at once if it has changed already.
  // The callback may end the run.
  void OnStop(Callback callback, void* argument) EXCLUDES(mutex_);
  // Returns true if the receiver is slow: then calls `callback(argument)` once when it is ready or
  // StopReason changes. Returns false, without a call, if it is ready or StopReason has changed.
  // The callback may end the run.
  bool OnReady(Callback callback, void* argument) EXCLUDES(mutex_);

  // These remove a callback. After they return, it is not running (unless it is the caller) and
  // will not run.
  void RemoveOnStop() { Remove(kStop); }
  void RemoveOnReady() { Remove(kReady); }
  // Ends the run: removes both. Also waits for threads that are in OnStop or OnReady.
  void Clear() EXCLUDES(mutex_);

 private:
  enum Slot : uint8_t { kStop = 0, kReady = 1 };
  struct Entry {
    Callback callback = nullptr;
    void* argument = nullptr;
  };
  struct Frame;

  // Registers with the token and the watch. Notes in `frame` if the token calls back at once.
  void Arm(Frame& frame);
  // Called when StopReason changes: runs both callbacks.
  void Stop() EXCLUDES(mutex_);
  // Called when the receiver is ready.
  void Ready() EXCLUDES(mutex_);
  // Takes the callback out of its slot and counts it as running. Null if there is none.
  Entry Take(Slot slot) REQUIRES(mutex_);
  // Runs a callback that was taken. Returns false if it ended the run: this object is gone then.
  bool Run(Slot slot, Entry entry) EXCLUDES(mutex_);
  void Remove(Slot slot) EXCLUDES(mutex_);

  CancelToken* const token_;
  FlowControl* const flow_;
  DeadlineWatch& watch_;
  std::atomic<bool> used_{false};  // OnStop or OnReady was called
  Mutex mutex_;
  CondVar changed_;
  bool armed_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;  // Stop was called
  std::array<Entry, 2> entries_ GUARDED_BY(mutex_);
  std::array<int, 2> running_ GUARDED_BY(mutex_) = {};  // callbacks that have not returned
  int registering_ GUARDED_BY(mutex_) = 0;              // threads in OnStop or OnReady
};

}  // namespace penstock
