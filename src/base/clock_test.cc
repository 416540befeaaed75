// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(ClockTest, FakeClockMovesOnlyWhenAdvanced) {
  FakeClock clock;
  const SteadyTime start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(std::chrono::seconds(3));
  EXPECT_EQ(clock.Now() - start, std::chrono::seconds(3));
}

TEST(ClockTest, RealClockFollowsTheSystemsClockAndNeverGoesBack) {
  using std::chrono::steady_clock;
  const Clock& clock = Clock::Real();
  // Longer than it takes until the rate of the counter is known.
  const SteadyTime end = steady_clock::now() + std::chrono::milliseconds(250);
  int far = 0;
  for (SteadyTime last = clock.Now(); last < end;) {
    const SteadyTime before = steady_clock::now(), now = clock.Now(), after = steady_clock::now();
    ASSERT_GE(now, last);
    last = now;
    far +=
        now < before - std::chrono::microseconds(50) || now > after + std::chrono::microseconds(50);
  }
  // The thread may be interrupted while it reads both clocks.
  EXPECT_LE(far, 100);
}

}  // namespace
}  // namespace penstock
