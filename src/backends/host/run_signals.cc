// SPDX-License-Identifier: Apache-2.0
// The hard part is the end of a run inside one of its own callbacks: it destroys this object, and
// perhaps the token and the flow control, while calls of this object are still on the stack. So
// each such call keeps a Frame on its stack. Clear marks the frames of its own thread as over, and
// waits for those of other threads. A call whose frame is over touches no member any more.
//
// CancelToken::SetCallback calls back at once, under the token's lock, if the token is cancelled
// already. The run must not end there, so that call is only noted in the frame, and runs after
// SetCallback has returned.
//
// The slots decide which callbacks run: whoever takes a callback out of its slot, under the lock,
// runs it. So OnReady's callback runs once, although a stop and the flow control may both call for
// it.
#include "backends/host/run_signals.h"

#include <utility>

#include "penstock/backend.h"

namespace penstock {

// A call of OnStop or OnReady, or of a callback, that has not returned. One thread at a time.
struct RunSignals::Frame {
  enum class Kind : uint8_t { kRegistering, kStop, kReady };

  Frame(const RunSignals* of, Kind what) : signals(of), kind(what), outer(innermost) {
    innermost = this;
  }
  ~Frame() { innermost = outer; }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  // Calls `function` for each frame of `signals` on this thread that is not over.
  template <typename Function>
  static void ForEach(const RunSignals* signals, Function function) {
    for (Frame* each = innermost; each != nullptr; each = each->outer) {
      if (each->signals == signals && !each->is_over) function(*each);
    }
  }
  static int Count(const RunSignals* signals, Kind kind) {
    int count = 0;
    ForEach(signals, [&](const Frame& frame) { count += frame.kind == kind ? 1 : 0; });
    return count;
  }

  static thread_local Frame* innermost;
  const RunSignals* const signals;
  const Kind kind;
  Frame* const outer;
  bool is_arming = false;  // in CancelToken::SetCallback
  bool has_fired = false;  // the token called back there
  bool is_over = false;    // the run has ended; the signals may be destroyed
};

thread_local RunSignals::Frame* RunSignals::Frame::innermost = nullptr;

int32_t RunSignals::StopReason() const {
  if (token_ != nullptr && token_->IsCancelled())
    return token_->HasExpired() ? PENSTOCK_DEADLINE_EXCEEDED : PENSTOCK_CANCELLED;
  if (deadline != kNoDeadline && Clock::Real().Now() >= deadline) return PENSTOCK_DEADLINE_EXCEEDED;
  return PENSTOCK_OK;
}

void RunSignals::OnStop(Callback callback, void* argument) {
  Frame frame(this, Frame::Kind::kRegistering);
  bool must_arm = false;
  bool has_stopped = false;
  {
    MutexLock lock(mutex_);
    used_.store(true, std::memory_order_release);
    ++registering_;
    entries_[kStop] = {callback, argument};
    must_arm = !std::exchange(armed_, true);
    has_stopped = stopped_;
  }
  if (must_arm) Arm(frame);
  if (frame.has_fired || has_stopped) Stop();
  if (frame.is_over) return;
  MutexLock lock(mutex_);
  --registering_;
  changed_.NotifyAll();
}

bool RunSignals::OnReady(Callback callback, void* argument) {
  if (!IsSlow()) return false;
  Frame frame(this, Frame::Kind::kRegistering);
  bool must_arm = false;
  {
    MutexLock lock(mutex_);
    if (stopped_) return false;
    used_.store(true, std::memory_order_release);
    ++registering_;
    entries_[kReady] = {callback, argument};
    must_arm = !std::exchange(armed_, true);
  }
  if (must_arm) Arm(frame);
  bool is_waiting = true;
  if (frame.has_fired || !flow_->SetCallback([this] { Ready(); })) {
    // There is nothing to wait for. Take the callback back, unless another thread runs it already.
    MutexLock lock(mutex_);
    is_waiting = std::exchange(entries_[kReady], {}).callback == nullptr;
  }
  if (frame.has_fired) Stop();  // another thread may have set a callback of OnStop
  if (frame.is_over) return is_waiting;
  MutexLock lock(mutex_);
  --registering_;
  changed_.NotifyAll();
  return is_waiting;
}

void RunSignals::Arm(Frame& frame) {
  if (token_ != nullptr) {
    frame.is_arming = true;
    token_->SetCallback([this] {
      Frame* arming = nullptr;
      Frame::ForEach(this, [&](Frame& each) {
        if (each.is_arming) arming = &each;
      });
      if (arming != nullptr) {
        arming->has_fired = true;
      } else {
        Stop();
      }
    });
    frame.is_arming = false;
  }
  if (deadline != kNoDeadline) {
    passed = [](DeadlineNode* node) { static_cast<RunSignals*>(node)->Stop(); };
    watch_.Add(*this);
  }
}

void RunSignals::Stop() {
  Entry entry;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    entry = Take(kStop);
  }
  if (!Run(kStop, entry)) return;
  {
    MutexLock lock(mutex_);
    entry = Take(kReady);
  }
  Run(kReady, entry);
}

void RunSignals::Ready() {
  Entry entry;
  {
    MutexLock lock(mutex_);
    entry = Take(kReady);
  }
  Run(kReady, entry);
}

RunSignals::Entry RunSignals::Take(Slot slot) {
  const Entry entry = std::exchange(entries_[slot], {});
  if (entry.callback != nullptr) ++running_[slot];
  return entry;
}

bool RunSignals::Run(Slot slot, Entry entry) {
  if (entry.callback == nullptr) return true;
  const Frame frame(this, slot == kStop ? Frame::Kind::kStop : Frame::Kind::kReady);
  entry.callback(entry.argument);
  if (frame.is_over) return false;
  MutexLock lock(mutex_);
  --running_[slot];
  changed_.NotifyAll();
  return true;
}

void RunSignals::Remove(Slot slot) {
  if (!used_.load(std::memory_order_acquire)) return;
  const int own = Frame::Count(this, slot == kStop ? Frame::Kind::kStop : Frame::Kind::kReady);
  MutexLock lock(mutex_);
  entries_[slot] = {};
  while (running_[slot] > own) changed_.Wait(mutex_);
}

void RunSignals::Clear() {
  if (!used_.load(std::memory_order_acquire)) return;
  const int own_registering = Frame::Count(this, Frame::Kind::kRegistering);
  const int own_stop = Frame::Count(this, Frame::Kind::kStop);
  const int own_ready = Frame::Count(this, Frame::Kind::kReady);
  Frame::ForEach(this, [](Frame& frame) { frame.is_over = true; });
  {
    MutexLock lock(mutex_);
    entries_ = {};
    while (registering_ > own_registering || running_[kStop] > own_stop ||
           running_[kReady] > own_ready) {
      changed_.Wait(mutex_);
    }
  }
  if (token_ != nullptr) token_->ClearCallback();
  watch_.Remove(*this);
  if (flow_ != nullptr) flow_->ClearCallback();
}

}  // namespace penstock
