// SPDX-License-Identifier: Apache-2.0
#include "retry_budget.h"

#include <gtest/gtest.h>

#include <climits>
#include <cstdint>

namespace penstock_client {
namespace {

using std::chrono::seconds;
using Seconds = std::chrono::duration<double>;

TEST(RetryBudgetTest, WhatTheServerAsksForIsTheLeast) {
  RetryBudget budget({});
  for (int i = 0; i < 3; ++i) {
    const auto delay = budget.Delay(1, seconds(3), Seconds(60));
    ASSERT_TRUE(delay);
    EXPECT_GE(delay->count(), 3);
    EXPECT_LE(delay->count(), 3.75);
  }
}

TEST(RetryBudgetTest, WithoutAWishItDoubles) {
  RetryBudget budget({});
  const auto delay = budget.Delay(2, std::nullopt, std::nullopt);
  ASSERT_TRUE(delay);
  EXPECT_GE(delay->count(), 0.2);
  EXPECT_LE(delay->count(), 0.25);
}

TEST(RetryBudgetTest, LongWaitsAreLeftToTheCaller) {
  RetryBudget budget({});
  EXPECT_FALSE(budget.Delay(1, seconds(11), std::nullopt)) << "delay_max";
  EXPECT_FALSE(budget.Delay(1, seconds(3), Seconds(3))) << "no time is left";
  EXPECT_FALSE(budget.Delay(4, std::nullopt, std::nullopt)) << "attempts_max";
}

TEST(RetryBudgetTest, HugeTimesToWaitDoNotOverflow) {
  constexpr auto kMax = std::chrono::milliseconds::max();
  for (const int64_t wish : {int64_t{1} << 40, int64_t{9'300'000'000'000'000}, INT64_MAX}) {
    EXPECT_FALSE(RetryBudget({}).Delay(1, seconds(wish), std::nullopt)) << wish;
    EXPECT_FALSE(RetryBudget({.delay_max = kMax}).Delay(1, seconds(wish), std::nullopt)) << wish;
  }
  RetryBudget budget({.attempts_max = INT_MAX, .delay = kMax, .delay_max = kMax});
  const auto delay = budget.Delay(INT_MAX - 1, std::nullopt, std::nullopt);
  ASSERT_TRUE(delay);
  EXPECT_GT(*delay, std::chrono::hours(24 * 24));
  EXPECT_LT(*delay, std::chrono::hours(24 * 32));
}

TEST(RetryBudgetTest, AnswersFillItAgain) {
  RetryBudget budget({.budget = 2, .budget_refill = 0.5});
  EXPECT_TRUE(budget.MayResend());
  EXPECT_TRUE(budget.MayResend());
  EXPECT_FALSE(budget.MayResend());
  budget.Answered();
  EXPECT_FALSE(budget.MayResend());
  budget.Answered();
  EXPECT_TRUE(budget.MayResend());
  for (int i = 0; i < 100; ++i) budget.Answered();
  EXPECT_TRUE(budget.MayResend());
  EXPECT_TRUE(budget.MayResend());
  EXPECT_FALSE(budget.MayResend()) << "it never holds more than at the start";
}

TEST(RetryBudgetTest, OneAttemptIsNeverRepeated) {
  RetryBudget budget({.attempts_max = 1});
  EXPECT_FALSE(budget.MayResend());
  EXPECT_FALSE(budget.Delay(1, std::nullopt, std::nullopt));
}

}  // namespace
}  // namespace penstock_client
