// SPDX-License-Identifier: Apache-2.0
#include "schedule/fair_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace penstock::schedule {
namespace {

class FairQueueTest : public ::testing::Test {
 protected:
  // Adds one item to the flow.
  QueueItem& Add(Flow& flow, int64_t deadline = INT64_MAX) {
    QueueItem& item = items_.emplace_back();
    item.deadline = deadline;
    EXPECT_EQ(queue_.Push(flow, item), Refusal::kNone);
    return item;
  }
  // Starts the next item, which costs `cost`, and ends its run at once.
  QueueItem* RunNext(double cost) {
    StartedRun run;
    QueueItem* const item = queue_.Pop(0, run);
    if (item != nullptr) queue_.End(run, cost);
    return item;
  }
  // The flows of the next `count` runs, as letters. Both flows must have enough items. `a_cost` and
  // `b_cost` are what their runs cost.
  std::string Order(int count, double a_cost, double b_cost) {
    std::string order;
    for (int i = 0; i < count; ++i) {
      StartedRun run;
      EXPECT_NE(queue_.Pop(0, run), nullptr);
      const bool is_a = run.flow == &a_;
      queue_.End(run, is_a ? a_cost : b_cost);
      order += is_a ? 'a' : 'b';
    }
    return order;
  }

  FairQueue queue_{{.slots = 2, .items_max = 0, .bytes_max = 0}};
  Flow a_, b_;
  std::deque<QueueItem> items_;
};

// Items that wait for others to start with them.
class GatheringTest : public FairQueueTest {
 protected:
  GatheringTest() { queue_.SetGathering(a_, {.delay_max = 100, .rows = 4}); }
  QueueItem& AddAt(int64_t entered, int64_t rows, Flow& flow) {
    QueueItem& item = items_.emplace_back();
    item.entered = entered;
    item.rows = rows;
    EXPECT_EQ(queue_.Push(flow, item), Refusal::kNone);
    return item;
  }
  QueueItem* PopAt(int64_t now) {
    StartedRun run;
    QueueItem* const item = queue_.Pop(now, run);
    if (item != nullptr) queue_.End(run, 1);
    return item;
  }
};

TEST_F(GatheringTest, ItemWaitsForOthersUntilItsTimeIsOver) {
  const QueueItem& item = AddAt(50, 1, a_);
  EXPECT_FALSE(queue_.CanPop());
  EXPECT_EQ(queue_.NextDue(), 150);
  EXPECT_EQ(PopAt(149), nullptr);
  EXPECT_EQ(PopAt(150), &item);
  EXPECT_EQ(queue_.NextDue(), FairQueue::kNever);
}

TEST_F(GatheringTest, ItemsStartAsSoonAsTheyFillABatch) {
  const QueueItem& first = AddAt(50, 3, a_);
  EXPECT_EQ(PopAt(60), nullptr);
  AddAt(60, 1, a_);
  EXPECT_TRUE(queue_.CanPop());
  EXPECT_EQ(PopAt(60), &first);
  EXPECT_EQ(PopAt(60), nullptr) << "the other one waits again, if it was not taken along";
  EXPECT_EQ(queue_.NextDue(), 160);
}

TEST_F(GatheringTest, ItemThatRunsAloneWaitsForNone) {
  AddAt(50, 1, a_);
  QueueItem& alone = AddAt(60, 0, a_);
  EXPECT_TRUE(queue_.CanPop());
  EXPECT_TRUE(queue_.Remove(alone));
  EXPECT_FALSE(queue_.CanPop());
}

TEST_F(GatheringTest, TheOldestItemCountsAlsoIfAnotherGoesFirst) {
  QueueItem& oldest = AddAt(50, 1, a_);
  QueueItem& urgent = items_.emplace_back();
  urgent.entered = 60;
  urgent.rows = 1;
  urgent.deadline = 1000;
  ASSERT_EQ(queue_.Push(a_, urgent), Refusal::kNone);
  EXPECT_EQ(queue_.NextDue(), 150);
  EXPECT_TRUE(queue_.Remove(oldest));
  EXPECT_EQ(queue_.NextDue(), 160);
}

TEST_F(GatheringTest, AnItemStartsWellBeforeItsDeadlineAndBeforeItIsLate) {
  queue_.SetLimits(b_, {.late_after = 60});
  QueueItem& urgent = items_.emplace_back();
  urgent.entered = 50;
  urgent.rows = 1;
  urgent.deadline = 90;
  ASSERT_EQ(queue_.Push(a_, urgent), Refusal::kNone);
  EXPECT_EQ(queue_.NextDue(), 70) << "half of the time is left for the run";
  EXPECT_TRUE(queue_.Remove(urgent));
  queue_.SetGathering(b_, {.delay_max = 100, .rows = 4});
  AddAt(50, 1, b_);
  EXPECT_EQ(queue_.NextDue(), 80);
}

TEST_F(GatheringTest, NoItemWaitsWhenTheServerStops) {
  QueueItem& item = AddAt(50, 1, a_);
  EXPECT_EQ(PopAt(60), nullptr);
  queue_.StopGathering();
  EXPECT_EQ(PopAt(60), &item);
}

TEST_F(GatheringTest, OtherFlowsAndTasksStartAtOnce) {
  AddAt(50, 1, a_);
  const QueueItem& other = AddAt(50, 1, b_);
  EXPECT_EQ(PopAt(50), &other);
  QueueItem& task = items_.emplace_back();
  task.is_task = true;
  ASSERT_EQ(queue_.Push(a_, task), Refusal::kNone);
  EXPECT_EQ(PopAt(50), &task);
  EXPECT_EQ(PopAt(50), nullptr);
}

TEST_F(GatheringTest, ChangesCountAtOnce) {
  AddAt(50, 1, a_);
  AddAt(70, 1, b_);
  queue_.SetGathering(b_, {.delay_max = 10, .rows = 4});
  EXPECT_EQ(queue_.NextDue(), 80);
  queue_.SetGathering(b_, {.delay_max = 10, .rows = 1});
  EXPECT_TRUE(queue_.CanPop());
  queue_.SetGathering(a_, {});
  EXPECT_EQ(queue_.NextDue(), FairQueue::kNever);
  EXPECT_NE(PopAt(70), nullptr);
  EXPECT_NE(PopAt(70), nullptr);
}

TEST_F(GatheringTest, NothingIsDueWithoutASlot) {
  StartedRun runs[2];
  Add(b_);
  Add(b_);
  ASSERT_NE(queue_.Pop(0, runs[0]), nullptr);
  ASSERT_NE(queue_.Pop(0, runs[1]), nullptr);
  const QueueItem& item = AddAt(0, 1, a_);
  EXPECT_EQ(queue_.NextDue(), FairQueue::kNever);
  queue_.End(runs[0], 1);
  EXPECT_EQ(queue_.NextDue(), 100);
  EXPECT_EQ(PopAt(500), &item);
  queue_.End(runs[1], 1);
}

TEST_F(GatheringTest, FlowWithAllItsRunsIsNotDue) {
  queue_.SetLimits(a_, {.runs_max = 1});
  AddAt(0, 4, a_);
  StartedRun run;
  ASSERT_NE(queue_.Pop(0, run), nullptr);
  const QueueItem& next = AddAt(0, 1, a_);
  EXPECT_EQ(queue_.NextDue(), FairQueue::kNever);
  EXPECT_EQ(PopAt(200), nullptr);
  queue_.End(run, 1);
  EXPECT_EQ(PopAt(200), &next);
}

TEST_F(FairQueueTest, LateItemsAreMarked) {
  queue_.SetLimits(a_, {.late_after = 100});
  for (int i = 0; i < 4; ++i) items_.emplace_back().rows = 1;
  items_[3].was_accepted = true;
  for (QueueItem& item : items_) ASSERT_EQ(queue_.Push(a_, item), Refusal::kNone);
  StartedRun run;
  EXPECT_EQ(queue_.Pop(100, run), &items_[0]);
  EXPECT_FALSE(items_[0].is_late);
  queue_.End(run, 1);
  EXPECT_EQ(queue_.Pop(101, run), &items_[1]);
  EXPECT_TRUE(items_[1].is_late);
  queue_.TakeAlong(run, [](QueueItem&) { return Along::kTake; });
  EXPECT_TRUE(items_[2].is_late);
  EXPECT_FALSE(items_[3].is_late) << "it comes back";
  queue_.End(run, 1);
}

TEST_F(FairQueueTest, LateItemsMayGoLast) {
  queue_.SetLimits(a_, {.late_after = 100, .late_action = LateAction::kDelay});
  QueueItem& urgent = Add(a_, /*deadline=*/5);
  QueueItem& late = Add(a_);
  QueueItem& recent = items_.emplace_back();
  recent.entered = 60;
  ASSERT_EQ(queue_.Push(a_, recent), Refusal::kNone);
  StartedRun run;
  for (const QueueItem* item : {&recent, &urgent, &late}) {
    EXPECT_EQ(queue_.Pop(101, run), item);
    EXPECT_FALSE(item->is_late);
    queue_.End(run, 1);
  }
}

TEST_F(FairQueueTest, ServesOneFlowInOrderOfArrival) {
  QueueItem& first = Add(a_);
  QueueItem& second = Add(a_);
  EXPECT_EQ(RunNext(1), &first);
  EXPECT_EQ(RunNext(1), &second);
  EXPECT_EQ(RunNext(1), nullptr);
}

TEST_F(FairQueueTest, EarliestDeadlineGoesFirstWithinAFlow) {
  QueueItem& none = Add(a_);
  QueueItem& late = Add(a_, 200);
  QueueItem& early = Add(a_, 100);
  EXPECT_EQ(RunNext(1), &early);
  EXPECT_EQ(RunNext(1), &late);
  EXPECT_EQ(RunNext(1), &none);
}

TEST_F(FairQueueTest, DeadlinesDoNotCountBetweenFlows) {
  for (int i = 0; i < 4; ++i) Add(a_, 100);
  for (int i = 0; i < 4; ++i) Add(b_);
  const std::string order = Order(4, 1, 1);
  EXPECT_EQ(std::count(order.begin(), order.end(), 'a'), 2) << order;
}

TEST_F(FairQueueTest, SharesFollowCosts) {
  for (int i = 0; i < 30; ++i) Add(a_);
  for (int i = 0; i < 30; ++i) Add(b_);
  // A run of a costs as much as four of b.
  EXPECT_EQ(Order(15, 4, 1), "abbbbabbbbabbbb");
}

TEST_F(FairQueueTest, SharesFollowWeights) {
  queue_.SetLimits(a_, {.weight = 3});
  for (int i = 0; i < 30; ++i) Add(a_);
  for (int i = 0; i < 30; ++i) Add(b_);
  const std::string order = Order(20, 1, 1);
  EXPECT_EQ(std::count(order.begin(), order.end(), 'a'), 15) << order;
}

TEST_F(FairQueueTest, HigherPriorityAlwaysGoesFirst) {
  queue_.SetLimits(b_, {.priority = 1});
  for (int i = 0; i < 3; ++i) Add(a_);
  for (int i = 0; i < 3; ++i) Add(b_);
  EXPECT_EQ(Order(6, 1, 100), "bbbaaa");
}

TEST_F(FairQueueTest, IdleFlowSavesUpNoTime) {
  for (int i = 0; i < 40; ++i) Add(a_);
  EXPECT_EQ(Order(20, 1, 1), std::string(20, 'a'));
  for (int i = 0; i < 20; ++i) Add(b_);
  // Twenty runs of a have been before; b gets none of them back.
  const std::string order = Order(10, 1, 1);
  EXPECT_LE(std::count(order.begin(), order.end(), 'b'), 6) << order;
}

TEST_F(FairQueueTest, FlowPaysBeforeItsRunEnds) {
  for (int i = 0; i < 6; ++i) Add(a_);
  RunNext(10);  // now the cost of its runs is known
  StartedRun first, second;
  queue_.Pop(0, first);
  Add(b_);
  Add(b_);
  queue_.Pop(0, second);
  EXPECT_EQ(first.flow, &a_);
  EXPECT_EQ(second.flow, &b_);
  queue_.End(second, 1);
  queue_.Pop(0, second);
  EXPECT_EQ(second.flow, &b_) << "the run of a is not over, but it counts already";
}

TEST_F(FairQueueTest, LightFlowGoesFirstAlsoBeforeAnyCostIsKnown) {
  for (int i = 0; i < 6; ++i) Add(a_);
  StartedRun first, second, light;
  queue_.Pop(0, first);
  queue_.Pop(0, second);
  Add(b_);
  EXPECT_EQ(queue_.Pop(0, light), nullptr) << "no slot is free";
  queue_.End(first, 100);
  queue_.Pop(0, light);
  EXPECT_EQ(light.flow, &b_);
}

TEST_F(FairQueueTest, RunsAtATimeAreBounded) {
  queue_.SetLimits(a_, {.runs_max = 1});
  Add(a_);
  Add(a_);
  StartedRun run, other;
  ASSERT_NE(queue_.Pop(0, run), nullptr);
  EXPECT_FALSE(queue_.CanPop());
  queue_.ReleaseSlot(run);
  EXPECT_EQ(queue_.Pop(0, other), nullptr) << "the run has not ended, although its slot is free";
  queue_.End(run, 1);
  EXPECT_NE(queue_.Pop(0, other), nullptr);
}

TEST_F(FairQueueTest, ModelAndConfigurationBothBoundTheRuns) {
  queue_.SetDeclaredRuns(a_, 3);
  EXPECT_EQ(a_.RunsMax(), 3U);
  queue_.SetLimits(a_, {.runs_max = 2});
  EXPECT_EQ(a_.RunsMax(), 2U);
  queue_.SetDeclaredRuns(a_, 1);
  EXPECT_EQ(a_.RunsMax(), 1U);
  queue_.SetDeclaredRuns(a_, 0);
  EXPECT_EQ(a_.RunsMax(), 2U);
}

TEST_F(FairQueueTest, FlowAtItsBoundLeavesSlotsToOthers) {
  queue_.SetLimits(a_, {.runs_max = 1});
  Add(a_);
  Add(a_);
  Add(b_);
  StartedRun first, second;
  queue_.Pop(0, first);
  queue_.Pop(0, second);
  EXPECT_EQ(first.flow, &a_);
  EXPECT_EQ(second.flow, &b_);
}

TEST_F(FairQueueTest, TaskGoesFirstAndIsNoRun) {
  queue_.SetLimits(a_, {.runs_max = 1, .items_max = 1});
  Add(a_);
  StartedRun run, other;
  queue_.Pop(0, run);
  Add(a_);
  QueueItem& task = items_.emplace_back();
  task.is_task = true;
  EXPECT_EQ(queue_.Push(a_, task), Refusal::kNone) << "the limits of the flow are for requests";
  EXPECT_EQ(queue_.Pop(0, other), &task);
  EXPECT_EQ(a_.runs(), 1U);
  queue_.End(other, 5);
  EXPECT_FALSE(a_.is_idle());
  EXPECT_FALSE(queue_.CanPop());
}

TEST_F(FairQueueTest, RefusesWhatIsOverALimit) {
  FairQueue queue({.slots = 1, .items_max = 3, .bytes_max = 100});
  queue.SetLimits(a_, {.items_max = 2, .bytes_max = 60});
  const auto push = [&](Flow& flow, uint64_t bytes) {
    items_.emplace_back().bytes = bytes;
    return queue.Push(flow, items_.back());
  };
  EXPECT_EQ(push(a_, 60), Refusal::kNone);
  EXPECT_EQ(push(a_, 1), Refusal::kFlowBytes);
  EXPECT_EQ(push(a_, 0), Refusal::kNone);
  EXPECT_EQ(push(a_, 0), Refusal::kFlowItems);
  EXPECT_EQ(push(b_, 41), Refusal::kQueueBytes);
  EXPECT_EQ(push(b_, 40), Refusal::kNone);
  EXPECT_EQ(push(b_, 0), Refusal::kQueueItems);
  EXPECT_EQ(queue.items(), 3U);
  EXPECT_EQ(queue.bytes(), 100U);
}

TEST_F(FairQueueTest, AnItemWithoutDeadlineRunsWhileOthersWithEarlyOnesCome) {
  QueueItem& patient = Add(a_);
  StartedRun run;
  int others = 0;
  for (int64_t now = 1; patient.flow != nullptr && others < 100; ++now) {
    for (int i = 0; i < 2; ++i) {
      items_.emplace_back().deadline = now + 10;
      ASSERT_EQ(queue_.Push(a_, items_.back()), Refusal::kNone);
    }
    ASSERT_NE(queue_.Pop(now, run), nullptr);
    queue_.End(run, 1);
    ++others;
  }
  EXPECT_EQ(others, FairQueue::kOldestEvery);
}

TEST_F(FairQueueTest, ARunOfTheOldestTakesOthersInTheOrderInWhichTheyCame) {
  StartedRun run;
  for (uint32_t i = 1; i < FairQueue::kOldestEvery; ++i) {
    Add(a_);
    ASSERT_NE(queue_.Pop(0, run), nullptr);
    queue_.End(run, 1);
  }
  QueueItem& first = Add(a_);
  const QueueItem& second = Add(a_);
  items_.emplace_back().deadline = 1;
  ASSERT_EQ(queue_.Push(a_, items_.back()), Refusal::kNone);
  EXPECT_EQ(queue_.Pop(0, run), &first);
  std::vector<const QueueItem*> asked;
  queue_.TakeAlong(run, [&](QueueItem& item) {
    asked.push_back(&item);
    return Along::kTake;
  });
  EXPECT_EQ(asked, (std::vector<const QueueItem*>{&second, &items_.back()}));
}

TEST_F(FairQueueTest, AnItemThatComesBackHasItsOldPlace) {
  QueueItem& first = Add(a_);
  StartedRun run;
  ASSERT_EQ(queue_.Pop(0, run), &first);
  queue_.End(run, 1);
  Add(a_);
  first.was_accepted = true;
  ASSERT_EQ(queue_.Push(a_, first), Refusal::kNone);
  EXPECT_EQ(queue_.Pop(0, run), &first);
}

TEST_F(FairQueueTest, AnItemLargerThanTheLimitRunsIfNoOtherWaits) {
  FairQueue queue({.slots = 1, .bytes_max = 100});
  queue.SetLimits(a_, {.bytes_max = 60});
  const auto push = [&](uint64_t bytes) {
    items_.emplace_back().bytes = bytes;
    return queue.Push(a_, items_.back());
  };
  EXPECT_EQ(push(1000), Refusal::kNone);
  EXPECT_EQ(push(1), Refusal::kQueueBytes);
  StartedRun run;
  EXPECT_EQ(queue.Pop(0, run), &items_.front());
  EXPECT_EQ(push(61), Refusal::kNone);
  EXPECT_EQ(push(1), Refusal::kFlowBytes);
}

TEST_F(FairQueueTest, RemovedItemNeverRuns) {
  QueueItem& first = Add(a_);
  QueueItem& second = Add(a_);
  EXPECT_TRUE(queue_.Remove(first));
  EXPECT_FALSE(queue_.Remove(first));
  EXPECT_EQ(RunNext(1), &second);
  EXPECT_FALSE(queue_.Remove(second)) << "it runs already";
  EXPECT_TRUE(a_.is_idle());
}

TEST_F(FairQueueTest, RunTakesOthersAlongInTheirOrder) {
  QueueItem& first = Add(a_, 1);
  QueueItem& later = Add(a_, 30);
  QueueItem& left = Add(a_, 10);
  QueueItem& early = Add(a_, 20);
  Add(a_, 5);
  Add(b_);
  StartedRun run;
  ASSERT_EQ(queue_.Pop(0, run), &first);
  std::vector<int64_t> asked;
  queue_.TakeAlong(run, [&](QueueItem& item) {
    asked.push_back(item.deadline);
    return &item == &left ? Along::kLeave : &item == &later ? Along::kStop : Along::kTake;
  });
  EXPECT_EQ(asked, (std::vector<int64_t>{5, 10, 20, 30}));
  EXPECT_EQ(early.flow, nullptr) << "it has left the queue";
  EXPECT_EQ(a_.items(), 2U);
  EXPECT_EQ(a_.runs(), 1U) << "all of them are one run";
  EXPECT_EQ(queue_.items(), 3U);
  EXPECT_EQ(queue_.slots_taken(), 1U);
  queue_.End(run, 10);
  EXPECT_EQ(a_.mean_cost(), 10) << "they pay once";
  EXPECT_EQ(RunNext(1), &items_.back()) << "flow b has used less";
  EXPECT_EQ(RunNext(1), &left);
  EXPECT_EQ(RunNext(1), &later);
  EXPECT_TRUE(a_.is_idle());
}

TEST_F(FairQueueTest, TakingAlongStopsAfterManyThatDoNotFit) {
  for (size_t i = 0; i < FairQueue::kLeftAlongMax + 10; ++i) Add(a_);
  StartedRun run;
  queue_.Pop(0, run);
  size_t asked = 0;
  queue_.TakeAlong(run, [&](QueueItem&) {
    ++asked;
    return Along::kLeave;
  });
  EXPECT_EQ(asked, FairQueue::kLeftAlongMax);
  EXPECT_EQ(a_.items(), FairQueue::kLeftAlongMax + 9);
  queue_.End(run, 1);
  for (size_t i = 1; i < items_.size(); ++i) EXPECT_EQ(RunNext(1), &items_[i]) << "the order stays";
}

TEST_F(FairQueueTest, ItemThatComesBackIsNotRefused) {
  queue_.SetLimits(a_, {.items_max = 1});
  Add(a_);
  QueueItem item;
  EXPECT_EQ(queue_.Push(a_, item), Refusal::kFlowItems);
  item.was_accepted = true;
  EXPECT_EQ(queue_.Push(a_, item), Refusal::kNone);
  EXPECT_EQ(a_.items(), 2U);
}

TEST_F(FairQueueTest, PreferredRunsCountOnlyWithoutALimit) {
  queue_.SetDeclaredRuns(a_, 4, 1);
  EXPECT_EQ(a_.RunsMax(), 1U);
  queue_.SetLimits(a_, {.runs_max = 3});
  EXPECT_EQ(a_.RunsMax(), 3U);
  queue_.SetDeclaredRuns(a_, 2, 1);
  EXPECT_EQ(a_.RunsMax(), 2U) << "what the model allows always counts";
  queue_.SetLimits(a_, {});
  queue_.SetDeclaredRuns(a_, 0, 0);
  EXPECT_EQ(a_.RunsMax(), 0U);
}

TEST_F(FairQueueTest, LimitsCanChangeWhileItemsWait) {
  Add(a_);
  Add(a_);
  Add(b_);
  queue_.SetLimits(a_, {.priority = -1, .items_max = 1});
  EXPECT_EQ(Order(3, 1, 1), "baa");
  queue_.SetLimits(a_, {.runs_max = 1});
  Add(a_);
  Add(a_);
  StartedRun run, other;
  queue_.Pop(0, run);
  EXPECT_FALSE(queue_.CanPop());
  queue_.SetLimits(a_, {.runs_max = 2});
  EXPECT_NE(queue_.Pop(0, other), nullptr);
}

TEST_F(FairQueueTest, MeasuresHowFastItDrains) {
  for (int i = 0; i < 10; ++i) Add(a_);
  EXPECT_EQ(a_.DrainTime(), 0);
  for (int i = 0; i < 5; ++i) {
    StartedRun run;
    queue_.Pop(i * 100, run);
    queue_.End(run, 1);
  }
  EXPECT_DOUBLE_EQ(a_.DrainTime(), 500);
  EXPECT_DOUBLE_EQ(queue_.DrainTime(), 500);
}

TEST_F(FairQueueTest, QueueDrainsFasterByWhatIsTakenAlong) {
  for (int i = 0; i < 20; ++i) Add(a_);
  for (int i = 0; i < 3; ++i) {
    StartedRun run;
    queue_.Pop(i * 100, run);
    int taken = 0;
    queue_.TakeAlong(run, [&](QueueItem&) { return ++taken <= 3 ? Along::kTake : Along::kStop; });
    queue_.End(run, 1);
  }
  EXPECT_DOUBLE_EQ(a_.DrainTime(), 8 * 25);
  EXPECT_DOUBLE_EQ(queue_.DrainTime(), 8 * 25);
}

// A queue whose items start every 100 ns, and take 100.
class LateItemTest : public FairQueueTest {
 protected:
  LateItemTest() {
    for (int i = 0; i < 8; ++i) Add(a_);
    for (int i = 0; i < 8; ++i) {
      StartedRun run;
      queue_.Pop(i * 100, run);
      queue_.End(run, 100);
    }
  }
  Refusal Try(int64_t deadline, int64_t time_left) {
    QueueItem& item = items_.emplace_back();
    item.deadline = deadline;
    item.time_left = time_left;
    return queue_.Push(a_, item);
  }
};

TEST_F(LateItemTest, ItemThatOthersMakeLateIsRefused) {
  // Each waits for those before it, and for its run; three quarters of 1000 may pass.
  for (int i = 0; i < 7; ++i) EXPECT_EQ(Try(1000 + i, 1000), Refusal::kNone) << i;
  EXPECT_EQ(Try(1007, 1000), Refusal::kTooLate);
  EXPECT_EQ(Try(2000, 2000), Refusal::kNone);
  EXPECT_EQ(RunNext(100)->deadline, 1000);
  EXPECT_EQ(RunNext(100)->deadline, 1001);
  EXPECT_EQ(Try(1007, 1000), Refusal::kNone);
}

TEST_F(LateItemTest, ItemThatGoesBeforeTheOthersIsNotRefused) {
  for (int i = 0; i < 7; ++i) EXPECT_EQ(Try(5000 + i, 5000), Refusal::kNone);
  EXPECT_EQ(Try(300, 300), Refusal::kNone);
  EXPECT_EQ(RunNext(100)->deadline, 300);
}

TEST_F(LateItemTest, ItemsWithoutADeadlineDoNotMakeOthersLate) {
  for (int i = 0; i < 50; ++i) Add(a_);
  EXPECT_EQ(Try(300, 300), Refusal::kNone);
  EXPECT_EQ(RunNext(100)->deadline, 300);
}

TEST_F(LateItemTest, ItemIsNotRefusedIfNoneWaitsOrNothingIsMeasured) {
  EXPECT_EQ(Try(10, 10), Refusal::kNone);  // perhaps this run is shorter
  QueueItem first, second;
  first.deadline = second.deadline = first.time_left = second.time_left = 10;
  EXPECT_EQ(queue_.Push(b_, first), Refusal::kNone);
  EXPECT_EQ(queue_.Push(b_, second), Refusal::kNone);
  EXPECT_TRUE(queue_.Remove(first) && queue_.Remove(second));
}

TEST_F(LateItemTest, ItemThatWasAcceptedIsNotRefused) {
  for (int i = 0; i < 7; ++i) EXPECT_EQ(Try(1000, 1000), Refusal::kNone);
  QueueItem& back = items_.emplace_back();
  back.deadline = back.time_left = 1000;
  back.was_accepted = true;
  EXPECT_EQ(queue_.Push(a_, back), Refusal::kNone);
}

TEST_F(FairQueueTest, TimeWithoutItemsIsNotMeasuredAsDrain) {
  const auto run_one = [&](int64_t now) {
    StartedRun run;
    queue_.Pop(now, run);
    queue_.End(run, 1);
  };
  Add(a_);
  Add(a_);
  run_one(0);
  run_one(100);
  Add(a_);
  Add(a_);
  run_one(1'000'000);
  EXPECT_DOUBLE_EQ(a_.DrainTime(), 100);
}

}  // namespace
}  // namespace penstock::schedule
