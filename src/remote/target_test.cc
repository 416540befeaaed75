// SPDX-License-Identifier: Apache-2.0
#include "remote/target.h"

#include <gtest/gtest.h>

#include <set>

#include "remote/budgets.h"

namespace penstock::remote {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SteadyTime kStart(Duration(std::chrono::hours(1)));

// Targets without connections. One thread.
class TargetTest : public testing::Test {
 protected:
  void Make(size_t count, Duration ejection_time = seconds(10)) {
    targets_.clear();
    for (size_t i = 0; i < count; ++i) {
      targets_.push_back(std::make_shared<Target>());
      targets_[i]->record = std::make_unique<TargetRecord>(ejection_time, ejections_);
    }
  }
  TargetRecord& Record(size_t index) { return *targets_[index]->record; }
  std::vector<int> PicksOf(int count, const std::vector<size_t>& tried_before = {},
                           SteadyTime now = kStart) {
    std::vector<const Target*> tried;
    for (const size_t each : tried_before) tried.push_back(targets_[each].get());
    std::vector<int> picks(targets_.size());
    for (int i = 0; i < count; ++i) ++picks[PickTarget(targets_, tried, now, random_)];
    return picks;
  }

  MetricsRegistry metrics_;
  Counter& ejections_ = metrics_.AddCounter("ejections_total", "Ejections.");
  std::vector<std::shared_ptr<Target>> targets_;
  std::minstd_rand random_{7};
};

TEST_F(TargetTest, EqualTargetsGetEqualShares) {
  Make(3);
  for (const int picks : PicksOf(3000)) EXPECT_NEAR(picks, 1000, 150);
}

TEST_F(TargetTest, TheOneWithFewerRequestsIsPicked) {
  Make(2);
  for (size_t i = 0; i < 2; ++i) Record(i).OnGood(milliseconds(1), kStart);
  Record(0).OnStart();
  EXPECT_EQ(PicksOf(100), (std::vector<int>{0, 100}));
  Record(0).OnEnd();
  EXPECT_NEAR(PicksOf(1000)[0], 500, 100);
}

TEST_F(TargetTest, TheFasterOneIsPickedUntilTheSlowOneIsForgotten) {
  Make(2);
  Record(0).OnGood(milliseconds(1), kStart);
  Record(1).OnGood(milliseconds(50), kStart);
  EXPECT_EQ(PicksOf(100), (std::vector<int>{100, 0}));
  // The fast one is measured again and again, the slow one is not.
  const SteadyTime later = kStart + seconds(60);
  Record(0).OnGood(milliseconds(1), later);
  EXPECT_EQ(PicksOf(100, {}, later), (std::vector<int>{0, 100}));
}

TEST_F(TargetTest, ThreeFailuresInARowTakeATargetOut) {
  Make(2);
  Record(0).OnBad(milliseconds(1), kStart);
  Record(0).OnBad(milliseconds(1), kStart);
  Record(0).OnGood(milliseconds(1), kStart);
  Record(0).OnBad(milliseconds(1), kStart);
  Record(0).OnBad(milliseconds(1), kStart);
  EXPECT_FALSE(Record(0).IsEjected(kStart));
  Record(0).OnBad(milliseconds(1), kStart);
  EXPECT_TRUE(Record(0).IsEjected(kStart));
  EXPECT_EQ(ejections_.Value(), 1U);
  EXPECT_EQ(PicksOf(100), (std::vector<int>{0, 100}));
  EXPECT_FALSE(Record(0).IsEjected(kStart + seconds(10)));
  // The second time takes twice as long.
  Record(0).OnBad(milliseconds(1), kStart + seconds(10));
  EXPECT_TRUE(Record(0).IsEjected(kStart + seconds(29)));
  EXPECT_FALSE(Record(0).IsEjected(kStart + seconds(30)));
}

TEST_F(TargetTest, AGoodAnswerBringsATargetBack) {
  Make(2);
  for (int i = 0; i < kFailuresToEject; ++i) Record(0).OnBad(milliseconds(1), kStart);
  Record(0).OnHealth(false);
  Record(0).OnGood(milliseconds(1), kStart);
  EXPECT_FALSE(Record(0).IsEjected(kStart));
  // It has not been good for long, so the next time is longer.
  for (int i = 0; i < kFailuresToEject; ++i) Record(0).OnBad(milliseconds(1), kStart);
  EXPECT_TRUE(Record(0).IsEjected(kStart + seconds(19)));
}

TEST_F(TargetTest, ATargetThatIsNotHealthyStaysOutUntilItIs) {
  Make(2);
  Record(1).OnHealth(false);
  EXPECT_TRUE(Record(1).IsEjected(kStart + seconds(1000)));
  EXPECT_EQ(PicksOf(100), (std::vector<int>{100, 0}));
  Record(1).OnHealth(true);
  EXPECT_FALSE(Record(1).IsEjected(kStart));
}

TEST_F(TargetTest, IfAllAreOutTheyAreTriedNevertheless) {
  Make(2);
  Record(0).OnHealth(false);
  Record(1).OnHealth(false);
  EXPECT_NEAR(PicksOf(1000)[0], 500, 100);
}

TEST_F(TargetTest, ASecondTryGoesElsewhereIfItCan) {
  Make(3);
  EXPECT_EQ(PicksOf(100, {0, 2}), (std::vector<int>{0, 100, 0}));
  Record(1).OnHealth(false);
  EXPECT_EQ(PicksOf(100, {0, 2}), (std::vector<int>{0, 100, 0}));
  Make(1);
  EXPECT_EQ(PicksOf(3, {0}), (std::vector<int>{3}));
}

TEST(ShareBudgetTest, GivesAShareOfTheRequests) {
  ShareBudget budget(10);
  int taken = 0;
  while (budget.Take()) ++taken;
  EXPECT_EQ(taken, 20);
  for (int i = 0; i < 1005; ++i) {
    budget.OnRequest();
    taken += budget.Take() ? 1 : 0;
  }
  EXPECT_EQ(taken, 120);
  ShareBudget none(0);
  none.OnRequest();
  EXPECT_FALSE(none.Take());
}

TEST(LatencyWindowTest, KnowsTheTimeOf95Percent) {
  LatencyWindow window;
  EXPECT_EQ(window.SlowAfter(), LatencyWindow::kFirstDelay);
  for (int i = 0; i < 128; ++i) window.Add(milliseconds(i % 100 < 90 ? 2 : 30));
  EXPECT_EQ(window.SlowAfter(), milliseconds(30));
  for (int i = 0; i < 256; ++i) window.Add(milliseconds(2));
  EXPECT_EQ(window.SlowAfter(), milliseconds(2));
  for (int i = 0; i < 256; ++i) window.Add(std::chrono::microseconds(10));
  EXPECT_EQ(window.SlowAfter(), milliseconds(1)) << "a timer is no finer than that";
}

}  // namespace
}  // namespace penstock::remote
