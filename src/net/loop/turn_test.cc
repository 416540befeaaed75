// SPDX-License-Identifier: Apache-2.0
#include "net/loop/turn.h"

#include <gtest/gtest.h>

namespace penstock::net {
namespace {

TEST(TurnTest, ATurnThatHasNotBegunIsNeverOver) {
  Turn turn;
  for (uint32_t i = 0; i < 100 * kRequestsPerClockRead; ++i) EXPECT_FALSE(turn.CountRequest());
}

TEST(TurnTest, TheFirstRequestsOfATurnAreFree) {
  Turn turn;
  for (int round = 0; round < 3; ++round) {
    turn.Begin(Duration::zero());
    for (uint32_t i = 1; i < 2 * kRequestsPerClockRead; ++i) EXPECT_FALSE(turn.CountRequest());
    EXPECT_TRUE(turn.CountRequest());
    EXPECT_TRUE(turn.CountRequest());
  }
}

TEST(TurnTest, ATurnLastsUntilItsTimeIsOver) {
  Turn turn;
  turn.Begin(std::chrono::hours(1));
  for (uint32_t i = 0; i < 100 * kRequestsPerClockRead; ++i) EXPECT_FALSE(turn.CountRequest());
}

}  // namespace
}  // namespace penstock::net
