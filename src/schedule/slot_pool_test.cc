// SPDX-License-Identifier: Apache-2.0
#include "schedule/slot_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/cancel.h"

namespace penstock::schedule {
namespace {

using std::chrono::milliseconds;

// Calls a function for each event. One thread at a time.
class TestJob final : public Job {
 public:
  explicit TestJob(std::function<void(Lease&)> start) : start_(std::move(start)) {}
  void Start(Lease& lease) override {
    ++starts;
    if (start_) start_(lease);
  }
  void Drop() override { ++drops; }

  int starts = 0, drops = 0;

 private:
  const std::function<void(Lease&)> start_;
};

class SlotPoolTest : public ::testing::Test {
 protected:
  TestJob& Add(std::function<void(Lease&)> start = {}, CancelToken* cancel = nullptr) {
    jobs_.push_back(std::make_unique<TestJob>(std::move(start)));
    EXPECT_EQ(pool_.Submit(flow_, *jobs_.back(), cancel), Admission::kAccepted);
    return *jobs_.back();
  }
  double MeanCost() {
    return pool_.Inspect([this](const FairQueue&) { return flow_.mean_cost(); });
  }

  FakeClock clock_;
  Flow flow_;
  SlotPool pool_{{.thread_name = "test",
                  .limits = {.slots = 2, .items_max = 3, .bytes_max = 0},
                  .threads = PoolThreads::kNone},
                 clock_};
  std::vector<std::unique_ptr<TestJob>> jobs_;
};

TEST_F(SlotPoolTest, ChargesTheMeasuredTime) {
  Add([this](Lease&) { clock_.Advance(milliseconds(7)); });
  EXPECT_EQ(pool_.RunQueued(), 1U);
  EXPECT_EQ(MeanCost(), 7e6);
}

TEST_F(SlotPoolTest, RunThatEndsLaterKeepsItsSlot) {
  Lease kept;
  Add([&](Lease& lease) { kept = std::move(lease); });
  pool_.RunQueued();
  const auto slots = [this] {
    return pool_.Inspect([](const FairQueue& queue) { return queue.slots_taken(); });
  };
  EXPECT_EQ(slots(), 1U);
  clock_.Advance(milliseconds(30));
  kept.End();
  EXPECT_FALSE(kept);
  EXPECT_EQ(slots(), 0U);
  EXPECT_EQ(MeanCost(), 30e6) << "the time until the end, not until Start returned";
}

TEST_F(SlotPoolTest, RunThatWaitsGivesItsSlotAway) {
  Lease kept;
  Add([&](Lease& lease) { kept = std::move(lease); });
  pool_.RunQueued();
  kept.ReleaseSlot();
  pool_.Inspect([&](const FairQueue& queue) {
    EXPECT_EQ(queue.slots_taken(), 0U);
    EXPECT_EQ(flow_.runs(), 1U);
    return 0;
  });
  kept.End();
  EXPECT_TRUE(pool_.Inspect([this](const FairQueue&) { return flow_.is_idle(); }));
}

TEST_F(SlotPoolTest, CancelledJobLeavesTheQueueAtOnce) {
  CancelToken token;
  TestJob& job = Add({}, &token);
  token.Cancel();
  EXPECT_EQ(job.drops, 1);
  EXPECT_TRUE(pool_.Inspect([](const FairQueue& queue) { return queue.items() == 0; }));
  EXPECT_EQ(pool_.RunQueued(), 0U);
  EXPECT_EQ(job.starts, 0);
}

TEST_F(SlotPoolTest, TokenThatIsCancelledAlreadyIsRefused) {
  CancelToken token;
  token.Cancel();
  TestJob job({});
  EXPECT_EQ(pool_.Submit(flow_, job, &token), Admission::kCancelled);
  EXPECT_EQ(job.drops, 0);
}

TEST_F(SlotPoolTest, StartedJobIsNotDropped) {
  CancelToken token;
  TestJob& job = Add([&](Lease&) { token.Cancel(); }, &token);
  EXPECT_EQ(pool_.RunQueued(), 1U);
  EXPECT_EQ(job.drops, 0);
}

TEST_F(SlotPoolTest, TokenIsFreeForTheModelOnceTheJobStarts) {
  CancelToken token;
  bool is_called = false;
  Add(
      [&](Lease&) {
        token.SetCallback([&] { is_called = true; });
        token.Cancel();
      },
      &token);
  pool_.RunQueued();
  EXPECT_TRUE(is_called);
}

TEST_F(SlotPoolTest, FullQueueRefuses) {
  for (int i = 0; i < 3; ++i) Add();
  CancelToken token;
  TestJob job({});
  EXPECT_EQ(pool_.Submit(flow_, job, &token), Admission::kQueueItems);
  token.Cancel();
  EXPECT_EQ(job.drops, 0) << "its owner has the error already";
  EXPECT_EQ(pool_.RunQueued(), 3U);
}

TEST_F(SlotPoolTest, TakesJobsWithAGroupAlong) {
  const int group = 0;
  std::vector<Job*> taken;
  CancelToken token;
  const auto add = [&](const void* of, CancelToken* cancel) -> TestJob& {
    jobs_.push_back(std::make_unique<TestJob>([](Lease&) {}));
    jobs_.back()->group = of;
    EXPECT_EQ(pool_.Submit(flow_, *jobs_.back(), cancel), Admission::kAccepted);
    return *jobs_.back();
  };
  Add([&](Lease& lease) {
    pool_.TakeAlong(
        lease, [](Job&) { return Along::kTake; }, taken);
    token.Cancel();  // too late: the job has left the queue
  });
  TestJob& other = add(nullptr, nullptr);
  TestJob& same = add(&group, &token);
  EXPECT_EQ(pool_.RunQueued(), 2U);
  EXPECT_EQ(taken, std::vector<Job*>{&same});
  EXPECT_EQ(same.starts + same.drops, 0);
  EXPECT_EQ(other.starts, 1);
}

TEST(SlotPoolThreadTest, ThreadsHaveThePriorityOfTheOptions) {
  Flow flow;
  std::promise<int> nice;
  {
    SlotPool pool({.thread_name = "test", .nice = 7, .limits = {.slots = 1}});
    TestJob job([&](Lease&) { nice.set_value(getpriority(PRIO_PROCESS, 0)); });
    ASSERT_EQ(pool.Submit(flow, job, nullptr), Admission::kAccepted);
    EXPECT_EQ(nice.get_future().get(), std::max(7, getpriority(PRIO_PROCESS, 0)));
  }
}

// The CPU time of the process in tests of SlotPoolOptions::cpus.
Duration used_cpu_time{0};

TEST(SlotPoolCpusTest, AllowsAsManySlotsAsKeepTheCpusBusy) {
  used_cpu_time = Duration(0);
  FakeClock clock;
  Flow flow;
  SlotPool pool({.thread_name = "test",
                 .limits = {.slots = 2},
                 .threads = PoolThreads::kNone,
                 .cpus = 2,
                 .cpu_time = [] { return used_cpu_time; }},
                clock);
  const auto slots = [&] {
    return pool.Inspect([](const FairQueue& queue) { return queue.slots(); });
  };
  // Two runs at a time, each of which uses both CPUs, and one that waits.
  std::deque<Lease> runs;
  std::deque<TestJob> jobs;
  const auto add = [&] {
    TestJob& job = jobs.emplace_back([&](Lease& lease) { runs.push_back(std::move(lease)); });
    ASSERT_EQ(pool.Submit(flow, job, nullptr), Admission::kAccepted);
    pool.RunQueued();
  };
  const auto pass = [&](int cpus) {
    const auto interval = Duration(SlotLimit::kInterval);
    clock.Advance(interval);
    used_cpu_time += cpus * interval;
    runs.front().End();
    runs.pop_front();
    add();
  };
  for (int i = 0; i < 3; ++i) add();
  ASSERT_EQ(runs.size(), 2U);
  for (int i = 0; i < 20 && slots() == 2; ++i) pass(2);
  EXPECT_EQ(slots(), 1U) << "one run is enough";
  for (int i = 0; i < 10; ++i) pass(2);
  EXPECT_EQ(slots(), 1U);
  EXPECT_EQ(runs.size(), 1U);
  for (int i = 0; i < 2; ++i) pass(1);
  EXPECT_EQ(slots(), 2U) << "a CPU was idle";
  EXPECT_EQ(runs.size(), 2U) << "the run that waited has begun";
  while (!runs.empty()) {
    runs.front().End();
    runs.pop_front();
    pool.RunQueued();
  }
}

TEST(SlotPoolThreadsTest, DestructorRunsWhatWaits) {
  std::atomic<int> runs{0};
  std::vector<std::unique_ptr<TestJob>> jobs;
  Flow flow;
  {
    SlotPool pool({.thread_name = "test", .limits = {.slots = 3, .items_max = 0, .bytes_max = 0}});
    pool.SetLimits(flow, {.runs_max = 1});
    for (int i = 0; i < 100; ++i) {
      jobs.push_back(std::make_unique<TestJob>([&](Lease&) { ++runs; }));
      ASSERT_EQ(pool.Submit(flow, *jobs.back(), nullptr), Admission::kAccepted);
    }
  }
  EXPECT_EQ(runs, 100);
}

TEST(SlotPoolThreadsTest, ThreadsThatStartOnDemandRunEverything) {
  std::atomic<int> runs{0}, together{0};
  std::vector<std::unique_ptr<TestJob>> jobs;
  Flow flow;
  {
    SlotPool pool({.thread_name = "test",
                   .limits = {.slots = 4, .items_max = 0, .bytes_max = 0},
                   .threads = PoolThreads::kOnDemand});
    for (int i = 0; i < 4; ++i) {
      jobs.push_back(std::make_unique<TestJob>([&](Lease&) {
        ++runs;
        // Ends only when all four run at the same time.
        ++together;
        together.notify_all();
        for (int seen = together; seen < 4; seen = together) together.wait(seen);
      }));
      ASSERT_EQ(pool.Submit(flow, *jobs.back(), nullptr), Admission::kAccepted);
    }
  }
  EXPECT_EQ(runs, 4);
}

// Many threads submit and cancel. Each job is started, dropped or refused, exactly once.
TEST(SlotPoolThreadsTest, EachJobEndsOnceWhileOthersCancel) {
  constexpr int kJobs = 2000;
  std::atomic<int> starts{0}, drops{0}, refusals{0};
  class CountingJob final : public Job {
   public:
    CountingJob(std::atomic<int>& starts, std::atomic<int>& drops)
        : starts_(starts), drops_(drops) {}
    void Start(Lease&) override { ++starts_; }
    void Drop() override { ++drops_; }

   private:
    std::atomic<int>&starts_, &drops_;
  };
  std::vector<std::unique_ptr<CountingJob>> jobs;
  std::vector<std::unique_ptr<CancelToken>> tokens;
  for (int i = 0; i < kJobs; ++i) {
    jobs.push_back(std::make_unique<CountingJob>(starts, drops));
    tokens.push_back(std::make_unique<CancelToken>());
  }
  Flow flow;
  {
    SlotPool pool({.thread_name = "test", .limits = {.slots = 2, .items_max = 50, .bytes_max = 0}});
    std::atomic<int> next{0};
    std::thread canceller([&] {
      for (int i = 0; i < kJobs; i += 3) {
        while (next < i) std::this_thread::yield();
        tokens[static_cast<size_t>(i)]->Cancel();
      }
    });
    for (int i = 0; i < kJobs; ++i) {
      const auto at = static_cast<size_t>(i);
      if (pool.Submit(flow, *jobs[at], tokens[at].get()) != Admission::kAccepted) ++refusals;
      next = i;
    }
    canceller.join();
  }
  EXPECT_EQ(starts + drops + refusals, kJobs);
}

// The threads that wait for jobs also keep the time of those that wait for others.
TEST(SlotPoolThreadsTest, JobsThatGatherStartByThemselves) {
  Flow flow, other;  // outlive the pool
  std::vector<std::unique_ptr<TestJob>> jobs;
  std::atomic<int> starts{0};
  SlotPool pool({.thread_name = "test", .limits = {.slots = 2, .items_max = 0, .bytes_max = 0}});
  pool.SetGathering(flow, {.delay_max = 3'000'000, .rows = 3});
  const auto submit = [&](Flow& to) {
    jobs.push_back(std::make_unique<TestJob>([&](Lease&) { ++starts; }));
    jobs.back()->entered = Clock::Real().Now().time_since_epoch().count();
    jobs.back()->rows = 1;
    ASSERT_EQ(pool.Submit(to, *jobs.back(), nullptr), Admission::kAccepted);
  };
  for (int round = 1; round <= 20; ++round) {
    submit(flow);
    submit(other);  // wakes a thread, perhaps the one that keeps the time
    if (round % 2 == 0) submit(flow);
    while (starts.load() != static_cast<int>(jobs.size())) std::this_thread::yield();
  }
  pool.Stop();
}

}  // namespace
}  // namespace penstock::schedule
