// SPDX-License-Identifier: Apache-2.0
#include "base/calls/held_wakes.h"

#include <gtest/gtest.h>

#include <thread>

namespace penstock {
namespace {

class CountedSleeper final : public HeldWakes::Sleeper {
 public:
  void WakeIfNeeded() override { ++wakes; }
  int wakes = 0;
};

TEST(HeldWakesTest, EachSleeperIsWokenOnceAtTheEnd) {
  const auto first = std::make_shared<CountedSleeper>(),
             second = std::make_shared<CountedSleeper>();
  {
    HeldWakes held;
    ASSERT_EQ(HeldWakes::Current(), &held);
    held.Add(first);
    held.Add(second);
    held.Add(first);
    EXPECT_EQ(first->wakes + second->wakes, 0);
  }
  EXPECT_EQ(first->wakes, 1);
  EXPECT_EQ(second->wakes, 1);
  EXPECT_EQ(HeldWakes::Current(), nullptr);
}

TEST(HeldWakesTest, AnInnerOneWakesAtItsOwnEnd) {
  const auto sleeper = std::make_shared<CountedSleeper>();
  const HeldWakes outer;
  {
    HeldWakes inner;
    HeldWakes::Current()->Add(sleeper);
  }
  EXPECT_EQ(sleeper->wakes, 1);
  EXPECT_EQ(HeldWakes::Current(), &outer);
}

TEST(HeldWakesTest, OtherThreadsHoldNothing) {
  const HeldWakes held;
  std::thread([] { EXPECT_EQ(HeldWakes::Current(), nullptr); }).join();
}

}  // namespace
}  // namespace penstock
