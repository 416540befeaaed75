// SPDX-License-Identifier: Apache-2.0
#include "net/loop/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace penstock::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Counts its calls. One thread.
class CountingTimer final : public WheelTimer {
 public:
  int calls = 0;

 private:
  void OnTimer() override { ++calls; }
};

TEST(TimerWheelTest, CallsEachTimerOnceWhenItsTimeHasCome) {
  const FakeClock clock;
  const SteadyTime start = clock.Now();
  TimerWheel wheel;
  CountingTimer soon, late, later, gone;
  wheel.Arm(soon, start + milliseconds(3));
  wheel.Arm(late, start + milliseconds(1027));  // in the same slot, a round later
  wheel.Arm(later, start + seconds(30));
  wheel.Arm(gone, start + milliseconds(3));
  gone.Disarm();
  wheel.Run(start + milliseconds(2));
  EXPECT_EQ(soon.calls, 0);
  EXPECT_LE(wheel.NextRun(start + milliseconds(2)), start + milliseconds(4));
  wheel.Run(start + milliseconds(4));
  EXPECT_EQ(soon.calls, 1);
  EXPECT_EQ(late.calls, 0);
  wheel.Run(start + milliseconds(1028));
  EXPECT_EQ(late.calls, 1);
  wheel.Run(start + seconds(31));
  EXPECT_EQ(later.calls + soon.calls + late.calls, 3);
  EXPECT_EQ(gone.calls, 0);
  EXPECT_TRUE(wheel.empty());
  EXPECT_EQ(wheel.NextRun(start), kNoDeadline);
}

TEST(TimerWheelTest, NextRunComesAndIsNeverTooLate) {
  const FakeClock clock;
  SteadyTime now = clock.Now();
  TimerWheel wheel;
  wheel.Run(now);
  CountingTimer timer;
  const SteadyTime when = now + seconds(5);
  wheel.Arm(timer, when);
  int runs = 0;
  while (timer.calls == 0 && ++runs < 100) {
    const SteadyTime next = wheel.NextRun(now);
    ASSERT_LE(next, when + milliseconds(1));
    now = std::max(next, now + milliseconds(1));
    wheel.Run(now);
  }
  EXPECT_LT(runs, 10);
}

}  // namespace
}  // namespace penstock::net
