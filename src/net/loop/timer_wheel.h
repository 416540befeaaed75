// SPDX-License-Identifier: Apache-2.0
// Deadlines of calls. Thousands are set and cleared each second, and few ever pass. So setting and
// clearing cost only a list insertion, and no system call.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace penstock::net {

class TimerWheel;

// A timer, embedded in the object that waits for it. Destroying the object disarms it. A class with
// a deadline derives from it:
//
//   class Call : private WheelTimer {
//     void Start() { loop.timers().Arm(*this, deadline); }
//     void OnTimer() override { Answer(DeadlineExceeded()); }
//   };
//
// Owned by loop.
class WheelTimer {
 public:
  WheelTimer() = default;
  virtual ~WheelTimer() { Disarm(); }
  WheelTimer(const WheelTimer&) = delete;
  WheelTimer& operator=(const WheelTimer&) = delete;

  // Makes sure that OnTimer is not called. Does nothing if the timer is not armed.
  void Disarm();

 protected:
  // Called when the time has come. The timer is no longer armed. May arm, disarm or destroy any
  // timer.
  virtual void OnTimer() = 0;

 private:
  friend class TimerWheel;
  TimerWheel* wheel_ = nullptr;
  WheelTimer* previous_ = nullptr;
  WheelTimer* next_ = nullptr;
  int64_t tick_ = 0;  // milliseconds since the clock's epoch
};

// All timers of a loop, with a resolution of one millisecond. Arm and Disarm take constant time. It
// is a hashed timing wheel (Varghese and Lauck, 1987, scheme 6); see timer_wheel.cc. Owned by loop.
class TimerWheel final {
 public:
  TimerWheel() = default;
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Calls `timer` at `when`, or up to a millisecond later. If the timer is armed already, this
  // moves it. kNoDeadline disarms it.
  void Arm(WheelTimer& timer, SteadyTime when);
  // Calls the timers whose time has come, in no particular order.
  void Run(SteadyTime now);
  // Returns when to call Run next. This is never after the earliest timer, but may be before it.
  // kNoDeadline if there is no timer.
  SteadyTime NextRun(SteadyTime now) const;
  bool empty() const { return count_ == 0; }

 private:
  friend class WheelTimer;
  static constexpr int64_t kSlots = 1024;

  void Remove(WheelTimer& timer);

  std::array<WheelTimer*, kSlots> slots_ = {};       // one list for each tick modulo kSlots
  std::array<uint64_t, kSlots / 64> occupied_ = {};  // one bit for each slot
  size_t count_ = 0;
  int64_t last_tick_ = 0;      // all timers up to this tick have been called
  WheelTimer* due_ = nullptr;  // those that Run still has to call
};

inline void WheelTimer::Disarm() {
  if (wheel_ != nullptr) wheel_->Remove(*this);
}

}  // namespace penstock::net
