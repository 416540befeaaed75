// SPDX-License-Identifier: Apache-2.0
#include "core/load_runner.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/background_fake.h"
#include "core/loader_fake.h"

namespace penstock::core {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using CallLines = std::vector<std::string>;

// Records the calls of a LoadRunner, and does what the manager would do. One thread.
class LoadRunnerTest : public ::testing::Test, private LoadRunner::Owner {
 protected:
  std::shared_ptr<LoadJob> NewJob(std::shared_ptr<FakePlan> plan = std::make_shared<FakePlan>()) {
    auto job = std::make_shared<LoadJob>();
    job->id = {"m", {1}};
    job->number = runner_.NextNumber();
    job->loader = std::make_unique<FakeLoader>(std::move(plan));
    return job;
  }
  CallLines Calls() { return std::exchange(calls_, {}); }

  bool BeginEstimate(const std::shared_ptr<LoadJob>& job) override { return Begin(*job); }
  void EndEstimate(const std::shared_ptr<LoadJob>& job,
                   StatusOr<ResourceEstimate> estimate) override {
    runner_.EndStep(*job);
    calls_.push_back(estimate.ok() ? fmt::format("estimate {}", estimate->ram_bytes)
                                   : std::string(MessageOf(estimate.status())));
    if (estimate.ok()) job->estimate = *estimate;
  }
  bool BeginLoad(const std::shared_ptr<LoadJob>& job) override { return Begin(*job); }
  void EndLoad(const std::shared_ptr<LoadJob>& job, StatusOr<std::unique_ptr<Servable>> servable,
               const ResourceEstimate& taken) override {
    runner_.EndStep(*job);
    runner_.End(*job);
    calls_.push_back(servable.ok() ? fmt::format("loaded {}", taken.ram_bytes)
                                   : std::string(MessageOf(servable.status())));
  }
  void EndTimeLimit(const std::shared_ptr<LoadJob>& job, uint64_t step, Duration limit) override {
    if (!runner_.GiveUp(*job, step)) return;
    job->is_hung = true;
    calls_.push_back(fmt::format("hung after {} s", limit / seconds(1)));
  }
  void Retry(const ServableId& id, int failures) override {
    calls_.push_back(fmt::format("retry {} after {}", id.ToString(), failures));
  }
  bool Begin(LoadJob& job) {
    runner_.BeginStep(job);
    if (limit_) runner_.LimitStep(limited_, limit_);
    if (while_running_) while_running_();
    return !job.is_cancelled;
  }

  ManagerOptions options_{.load_retries_max = 3,
                          .load_retry_interval = seconds(1),
                          .load_retry_interval_max = seconds(3)};
  VirtualBackground background_;
  MemoryMeter meter_{nullptr};
  LoadRunner runner_{options_, background_, meter_, *this};
  CallLines calls_;
  std::optional<Duration> limit_;  // of each step of limited_
  std::shared_ptr<LoadJob> limited_;
  std::function<void()> while_running_;
};

TEST_F(LoadRunnerTest, LoadRunsInTwoSteps) {
  auto plan = std::make_shared<FakePlan>();
  plan->estimate = 70;
  plan->loaded_estimate = 50;
  const auto job = NewJob(plan);
  runner_.Start(job);
  EXPECT_EQ(runner_.pending(), 1);
  EXPECT_TRUE(background_.RunLoadStep());
  EXPECT_EQ(Calls(), CallLines{"estimate 70"});
  EXPECT_FALSE(background_.RunLoadStep());  // until the owner continues
  runner_.Continue(job, std::nullopt);
  EXPECT_TRUE(background_.RunLoadStep());
  EXPECT_EQ(Calls(), CallLines{"loaded 50"});
  EXPECT_EQ(runner_.pending(), 0);
}

TEST_F(LoadRunnerTest, AdmittedLoadGoesBeforeNewOnes) {
  const auto first = NewJob();
  runner_.Start(first);
  background_.RunLoadStep();
  runner_.Start(NewJob());
  runner_.Continue(first, std::nullopt);
  Calls();
  background_.RunLoadStep();
  EXPECT_EQ(Calls(), CallLines{"loaded 0"});
}

TEST_F(LoadRunnerTest, CancelledStepDoesNotCallTheLoader) {
  auto plan = std::make_shared<FakePlan>();
  const auto job = NewJob(plan);
  job->is_cancelled = true;
  runner_.Start(job);
  background_.RunLoadStep();
  runner_.Continue(job, std::nullopt);
  background_.RunLoadStep();
  EXPECT_EQ(Calls(), (CallLines{"Loading of servable cancelled", "Loading of servable cancelled"}));
  EXPECT_EQ(plan->loads, 0);
}

TEST_F(LoadRunnerTest, ErrorsAndExceptionsOfTheLoaderAreReported) {
  struct Case {
    void (*prepare)(FakePlan&);
    std::string error;
  };
  const Case cases[] = {
      {[](FakePlan& plan) { plan.failures_left = 1; }, "broken file"},
      {[](FakePlan& plan) { plan.throws = true; }, "the loader threw: broken library"},
      {[](FakePlan& plan) { plan.throws_no_exception = true; }, "the loader threw"},
      {[](FakePlan& plan) { plan.estimate_throws = true; }, "the loader threw: broken disk"},
  };
  for (const Case& expected : cases) {
    auto plan = std::make_shared<FakePlan>();
    expected.prepare(*plan);
    const auto job = NewJob(plan);
    runner_.Start(job);
    background_.RunLoadStep();
    if (!plan->estimate_throws) {
      runner_.Continue(job, std::nullopt);
      background_.RunLoadStep();
    }
    EXPECT_EQ(Calls().back(), expected.error);
  }
}

TEST_F(LoadRunnerTest, TimeOfTheStepsAddsUp) {
  const auto job = NewJob();
  while_running_ = [this] { background_.Advance(seconds(2)); };
  runner_.Start(job);
  background_.RunLoadStep();
  background_.Advance(seconds(100));  // it waits for memory
  runner_.Continue(job, std::nullopt);
  background_.RunLoadStep();
  EXPECT_EQ(job->worked, seconds(4));
  EXPECT_EQ(job->step_start, kNoDeadline);
}

TEST_F(LoadRunnerTest, LoadThatHangsFreesItsThreadUntilItEnds) {
  const auto job = NewJob();
  runner_.Start(job);
  background_.RunLoadStep();
  Calls();
  while_running_ = [&] {
    background_.Advance(seconds(5));
    ASSERT_TRUE(background_.RunDueTimer());
    EXPECT_EQ(Calls(), CallLines{"hung after 5 s"});
    EXPECT_EQ(runner_.pending(), 0);
    EXPECT_EQ(background_.threads(), 2);
  };
  runner_.Continue(job, seconds(5));
  background_.RunLoadStep();
  EXPECT_EQ(Calls(), CallLines{"loaded 0"});
  EXPECT_EQ(runner_.pending(), 0);
  EXPECT_EQ(background_.threads(), 1);
}

TEST_F(LoadRunnerTest, TimeLimitOfAnEarlierStepHasNoEffect) {
  const auto job = NewJob();
  limit_ = seconds(5);
  limited_ = job;
  runner_.Start(job);
  background_.RunLoadStep();
  background_.Advance(seconds(10));
  EXPECT_TRUE(background_.RunDueTimer());
  EXPECT_EQ(Calls(), CallLines{"estimate 0"});
  EXPECT_EQ(runner_.pending(), 1);
}

TEST_F(LoadRunnerTest, PausesBeforeRetriesGrow) {
  struct Case {
    int failures;
    std::optional<Duration> pause;  // nullopt: no retry
  };
  const Case cases[] = {
      {0, std::nullopt}, {1, seconds(1)}, {2, seconds(2)}, {3, seconds(3)}, {4, std::nullopt}};
  for (const Case& expected : cases) {
    runner_.RetryLater({"m", {1}}, expected.failures);
    ASSERT_EQ(background_.timer_count(), expected.pause ? 1U : 0U) << expected.failures;
    if (!expected.pause) continue;
    background_.Advance(*expected.pause - milliseconds(1));
    EXPECT_FALSE(background_.RunDueTimer()) << expected.failures;
    background_.Advance(milliseconds(1));
    EXPECT_TRUE(background_.RunDueTimer()) << expected.failures;
    EXPECT_EQ(Calls(), CallLines{fmt::format("retry m version 1 after {}", expected.failures)});
  }
  runner_.EndRetries();
  runner_.RetryLater({"m", {1}}, 1);
  EXPECT_EQ(background_.timer_count(), 0U);
}

}  // namespace
}  // namespace penstock::core
