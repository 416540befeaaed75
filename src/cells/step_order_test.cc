// SPDX-License-Identifier: Apache-2.0
#include "cells/step_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace penstock::cells {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Steps = std::vector<WaitingStep*>;

const SteadyTime kNow = SteadyTime(std::chrono::hours(1));

Steps Pick(StepOrder& order, size_t rows_max, Duration pace = {}) {
  Steps picked;
  order.Pick(rows_max, kNow, pace, picked);
  return picked;
}

TEST(StepOrderTest, ThoseWhoWaitLongestGoFirst) {
  WaitingStep a, b, c;
  StepOrder order;
  for (WaitingStep* step : {&a, &b, &c}) order.Add(*step);
  EXPECT_THAT(Pick(order, 2), ElementsAre(&a, &b));
  order.Add(a);
  order.Add(b);
  EXPECT_THAT(Pick(order, 2), ElementsAre(&c, &a));
  EXPECT_THAT(Pick(order, 2), ElementsAre(&b));
  EXPECT_THAT(Pick(order, 2), IsEmpty());
}

TEST(StepOrderTest, OnlyEqualShapesRunTogether) {
  const RowShapes small = {Shape{2}}, same = {Shape{2}}, large = {Shape{3}};
  WaitingStep a{.shapes = &small}, b{.shapes = &large}, c{.shapes = &same};
  StepOrder order;
  for (WaitingStep* step : {&a, &b, &c}) order.Add(*step);
  EXPECT_THAT(Pick(order, 8), ElementsAre(&a, &c));
  EXPECT_THAT(Pick(order, 8), ElementsAre(&b));
}

TEST(StepOrderTest, StepsThatRunAloneHaveNoCompany) {
  WaitingStep a, b{.alone = true}, c;
  StepOrder order;
  for (WaitingStep* step : {&a, &b, &c}) order.Add(*step);
  EXPECT_THAT(Pick(order, 8), ElementsAre(&a, &c));
  order.Add(a);
  EXPECT_THAT(Pick(order, 8), ElementsAre(&b));
  EXPECT_THAT(Pick(order, 8), ElementsAre(&a));
}

// A sequence near its deadline goes before others, but never takes all rows.
TEST(StepOrderTest, UrgentStepsTakeAtMostHalf) {
  WaitingStep calm[4];
  WaitingStep urgent[4];
  StepOrder order;
  for (WaitingStep& step : calm) order.Add(step);
  for (size_t i = 0; i < 4; ++i) {
    urgent[i] = {.deadline = kNow + milliseconds(40 - i), .steps_left = 30};
    order.Add(urgent[i]);
  }
  // At 1 ms a step they have 10 ms to spare, at 2 ms they have none.
  EXPECT_THAT(Pick(order, 4, milliseconds(1)), ElementsAre(&calm[0], &calm[1], &calm[2], &calm[3]));
  for (WaitingStep& step : calm) order.Add(step);
  EXPECT_THAT(Pick(order, 4, milliseconds(2)),
              ElementsAre(&urgent[0], &urgent[1], &urgent[2], &urgent[3]));
  for (WaitingStep& step : urgent) order.Add(step);
  EXPECT_THAT(Pick(order, 4, milliseconds(2)),
              ElementsAre(&calm[0], &calm[1], &urgent[2], &urgent[3]));
}

// Random lives in virtual time: whoever waits gets its step within a bounded number of runs.
TEST(StepOrderTest, RandomNobodyStarves) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    std::mt19937_64 random(seed);
    const size_t rows_max = 1 + random() % 8;
    std::vector<std::unique_ptr<WaitingStep>> all;
    std::map<const WaitingStep*, size_t> waits;  // runs since it was added
    StepOrder order;
    SteadyTime now = kNow;
    for (int run = 0; run < 300; ++run) {
      for (size_t born = random() % 3; born > 0 && all.size() < 40; --born) {
        const bool hurries = random() % 3 == 0;
        all.push_back(std::make_unique<WaitingStep>(
            WaitingStep{.deadline = hurries ? now + milliseconds(random() % 50) : kNoDeadline,
                        .steps_left = static_cast<int64_t>(1 + random() % 60)}));
        order.Add(*all.back());
        waits[all.back().get()] = 0;
      }
      Steps picked;
      order.Pick(rows_max, now, milliseconds(1), picked);
      ASSERT_LE(picked.size(), rows_max);
      ASSERT_TRUE(!picked.empty() || order.empty());
      for (auto& [step, runs] : waits) ++runs;
      for (WaitingStep* step : picked) {
        ASSERT_EQ(waits.count(step), 1U) << "seed " << seed;
        // Half of the rows are for those that have waited longest.
        ASSERT_LE(waits[step], 2 * 40 / std::max<size_t>(rows_max / 2, 1) + 2) << "seed " << seed;
        waits.erase(step);
        if (--step->steps_left > 0) {
          order.Add(*step);
          waits[step] = 0;
        } else {
          std::erase_if(all, [&](const auto& each) { return each.get() == step; });
        }
      }
      ASSERT_EQ(order.size(), waits.size());
      now += milliseconds(1);
    }
  }
}

}  // namespace
}  // namespace penstock::cells
