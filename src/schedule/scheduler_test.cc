// SPDX-License-Identifier: Apache-2.0
#include "schedule/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <string>
#include <thread>

#include "schedule/retry_hint.h"

namespace penstock::schedule {
namespace {

// Writes its letter when it runs, and takes a second. One thread at a time.
class LetterJob final : public Job {
 public:
  LetterJob(char letter, std::string& order, FakeClock& clock)
      : letter_(letter), order_(order), clock_(clock) {}
  void Start(Lease&) override {
    order_ += letter_;
    clock_.Advance(std::chrono::seconds(1));
  }
  void Drop() override {}

 private:
  const char letter_;
  std::string& order_;
  FakeClock& clock_;
};

class SchedulerTest : public ::testing::Test {
 protected:
  Admission Enter(ModelQueue& queue, uint64_t bytes = 0) {
    LetterJob& job = jobs_.emplace_back(queue.name()[0], order_, clock_);
    job.bytes = bytes;
    return queue.Enter(job, nullptr);
  }

  FakeClock clock_;
  Scheduler scheduler_{
      {.queue_requests_max = 20, .queue_bytes_max = 100, .threads = PoolThreads::kNone}, clock_};
  std::string order_;
  std::deque<LetterJob> jobs_;
};

TEST_F(SchedulerTest, ModelsTakeTurns) {
  const auto a = scheduler_.QueueOf("a", false);
  const auto b = scheduler_.QueueOf("b", false);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Enter(*a), Admission::kAccepted);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Enter(*b), Admission::kAccepted);
  EXPECT_EQ(scheduler_.queue_length(), 6U);
  scheduler_.RunQueued();
  EXPECT_THAT(order_, testing::AnyOf("abbaab", "ababab", "abbaba", "ababba"));
}

TEST_F(SchedulerTest, LimitsCountForAllVersionsAndAtOnce) {
  const auto a = scheduler_.QueueOf("a", false);
  EXPECT_EQ(scheduler_.QueueOf("a", false), a);
  EXPECT_FALSE(a->queues_always());
  scheduler_.SetModels({{"a", {.flow = {.items_max = 1}, .queues_always = true}}});
  EXPECT_TRUE(a->queues_always());
  EXPECT_EQ(Enter(*a), Admission::kAccepted);
  EXPECT_EQ(Enter(*a), Admission::kFlowItems);
  scheduler_.SetModels({});
  EXPECT_EQ(Enter(*a), Admission::kAccepted);
  scheduler_.RunQueued();
}

TEST_F(SchedulerTest, QueueOfAModelThatIsGoneGoesWithItsLastUser) {
  auto a = scheduler_.QueueOf("a", false);
  scheduler_.SetModels({});
  EXPECT_EQ(scheduler_.States().size(), 1U);
  a.reset();
  scheduler_.SetModels({});
  EXPECT_TRUE(scheduler_.States().empty());
}

TEST_F(SchedulerTest, ModelsThatMayBlockTakeNoComputeSlot) {
  const auto remote = scheduler_.QueueOf("a", true);
  EXPECT_NE(remote, scheduler_.QueueOf("a", false));
  EXPECT_EQ(Enter(*remote), Admission::kAccepted);
  EXPECT_EQ(scheduler_.queue_length(), 0U);
  EXPECT_EQ(scheduler_.RunQueued(), 1U);
}

TEST_F(SchedulerTest, RefusalsHaveNumbersAndTheTimeToTryAgain) {
  scheduler_.SetModels({{"a", {.flow = {.items_max = 4, .bytes_max = 30}}}});
  const auto a = scheduler_.QueueOf("a", false);
  const auto b = scheduler_.QueueOf("b", false);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Enter(*a), Admission::kAccepted);
  Status refused = a->ErrorOf(Enter(*a));
  EXPECT_EQ(refused.code(), StatusCode::kUnavailable);
  EXPECT_EQ(
      MessageOf(refused),
      "model a is busy: 4 of its requests wait, and no more than 4 may wait; try again in 1 s");
  scheduler_.RunQueued();  // each takes a second
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Enter(*a, 10), Admission::kAccepted);
  refused = a->ErrorOf(Enter(*a, 10));
  EXPECT_EQ(MessageOf(refused),
            "model a is busy: 30 bytes of its requests wait, and no more than 30 may wait; try "
            "again in 3 s");
  EXPECT_EQ(RetryHintOf(refused), std::chrono::seconds(3));
  EXPECT_EQ(MessageOf(b->ErrorOf(Enter(*b, 71))),
            "the server is busy: 30 bytes of requests wait for a thread, and no more than 100 may "
            "wait; try again in 3 s");
  while (Enter(*b) == Admission::kAccepted) {
  }
  EXPECT_EQ(MessageOf(b->ErrorOf(Admission::kQueueItems)),
            "the server is busy: 20 requests wait for a thread, and no more than 20 may wait; try "
            "again in 20 s");
  scheduler_.RunQueued();
}

TEST_F(SchedulerTest, WhatCannotBeAnsweredInTimeIsRefusedAtOnce) {
  const auto a = scheduler_.QueueOf("a", false);
  const auto enter = [&](std::chrono::seconds left) {
    LetterJob& job = jobs_.emplace_back('a', order_, clock_);
    job.deadline = (clock_.Now() + left).time_since_epoch().count();
    return a->Enter(job, nullptr);
  };
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Enter(*a), Admission::kAccepted);
  scheduler_.RunQueued();  // each takes a second
  for (int i = 0; i < 3; ++i) EXPECT_EQ(enter(std::chrono::seconds(5)), Admission::kAccepted);
  const Status refused = a->ErrorOf(enter(std::chrono::seconds(5)));
  EXPECT_EQ(MessageOf(refused),
            "model a is busy: 3 of its requests wait, and will take 4000 ms, which is too long for "
            "the deadline; try again in 3 s");
  EXPECT_EQ(enter(std::chrono::seconds(6)), Admission::kAccepted);
  scheduler_.RunQueued();
}

TEST_F(SchedulerTest, StateOfAModel) {
  const auto a = scheduler_.QueueOf("a", false);
  EXPECT_EQ(Enter(*a, 5), Admission::kAccepted);
  EXPECT_EQ(Enter(*a, 6), Admission::kAccepted);
  const std::vector<QueueState> states = scheduler_.States();
  ASSERT_EQ(states.size(), 1U);
  EXPECT_EQ(states[0].model, "a");
  EXPECT_EQ(states[0].requests, 2U);
  EXPECT_EQ(states[0].bytes, 11U);
  EXPECT_EQ(states[0].runs, 0U);
  scheduler_.RunQueued();
}

TEST_F(SchedulerTest, TasksOfAModelGoBeforeItsRequests) {
  const auto a = scheduler_.QueueOf("a", false);
  EXPECT_EQ(Enter(*a), Admission::kAccepted);
  EXPECT_TRUE(a->Submit([this] { order_ += 't'; }));
  scheduler_.RunQueued();
  EXPECT_EQ(order_, "ta");
}

// Says that it runs. Thread-safe.
class SignalJob final : public Job {
 public:
  void Start(Lease&) override { ran_.store(true, std::memory_order_release); }
  void Drop() override {}
  void Await() const {
    while (!ran_.load(std::memory_order_acquire)) std::this_thread::yield();
  }

 private:
  std::atomic<bool> ran_{false};
};

// A sanitizer sees a queue that a thread uses after its end.
TEST(SchedulerEndTest, QueuesOutliveTheRunsOfThreads) {
  for (int i = 0; i < 200; ++i) {
    SignalJob job;
    Scheduler scheduler({.compute_slots = 1});
    ASSERT_EQ(scheduler.QueueOf("a", false)->Enter(job, nullptr), Admission::kAccepted);
    job.Await();
  }
}

}  // namespace
}  // namespace penstock::schedule
