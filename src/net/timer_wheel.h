// SPDX-License-Identifier: Apache-2.0
// Deadlines of calls: thousands are set and cleared each second, few ever pass. Setting and
// clearing cost a list insertion and no system call.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace penstock::net {

class TimerWheel;

// Something that waits for a time. Embedded in the object that waits. Owned by loop.
class WheelTimer {
 public:
  WheelTimer() = default;
  virtual ~WheelTimer() { Disarm(); }
  WheelTimer(const WheelTimer&) = delete;
  WheelTimer& operator=(const WheelTimer&) = delete;

  void Disarm();
  bool is_armed() const { return wheel_ != nullptr; }

 protected:
  // The time has come; the timer is not armed any more. May arm, disarm or destroy any timer.
  virtual void OnTimer() = 0;

 private:
  friend class TimerWheel;
  TimerWheel* wheel_ = nullptr;
  WheelTimer* previous_ = nullptr;
  WheelTimer* next_ = nullptr;
  int64_t tick_ = 0;
};

// All timers of a loop, by the millisecond. Owned by loop.
class TimerWheel final {
 public:
  TimerWheel() = default;
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // `timer` is called at `when` or up to a millisecond later; kNoDeadline disarms it. An armed
  // timer is moved.
  void Arm(WheelTimer& timer, SteadyTime when);
  // Calls the timers whose time has come.
  void Run(SteadyTime now);
  // When Run should be called next: not after the earliest timer, perhaps before it; kNoDeadline if
  // there is none.
  SteadyTime NextRun(SteadyTime now) const;
  bool empty() const { return count_ == 0; }

 private:
  friend class WheelTimer;
  static constexpr int64_t kSlots = 1024;

  void Remove(WheelTimer& timer);

  std::array<WheelTimer*, kSlots> slots_ = {};
  std::array<uint64_t, kSlots / 64> occupied_ = {};
  size_t count_ = 0;
  int64_t last_tick_ = 0;  // all timers up to this one have been called
  WheelTimer* due_ = nullptr;
};

inline void WheelTimer::Disarm() {
  if (wheel_ != nullptr) wheel_->Remove(*this);
}

}  // namespace penstock::net
