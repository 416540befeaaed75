// SPDX-License-Identifier: Apache-2.0
// Time limits, idle models, and changes while waiters are notified, over virtual time.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>

#include "core/background_fake.h"
#include "core/manager_fixture.h"

namespace penstock::core {
namespace {

using std::chrono::milliseconds;

// A manager with a model on demand that goes when it is idle. One thread.
class VirtualTimeTest : public testing::Test {
 protected:
  VirtualTimeTest() { Configure(); }
  ~VirtualTimeTest() override {
    manager_.Stop(SteadyTime::min());
    RunAll();
  }

  void Configure() {
    ASSERT_EQ(manager_.SetModel({.name = "m",
                                 .load_mode = LoadMode::kOnDemand,
                                 .unload_after_idle = milliseconds(200)}),
              OkStatus());
  }
  void ReportVersion() { manager_.SetAspired("m", Aspire(FakeVersion(1, plan_))); }
  void Request(absl::AnyInvocable<void(Status)> done, Duration time_left = Duration::max()) {
    const SteadyTime deadline =
        time_left == Duration::max() ? kNoDeadline : background_->Now() + time_left;
    EXPECT_TRUE(
        manager_.LoadOnDemand({.model = "m", .deadline = deadline, .done = std::move(done)}));
  }
  void RunAll() {
    while (background_->RunLoadStep() || background_->UnloadOne(0) ||
           background_->FreeSnapshots()) {
    }
  }
  void Pass(Duration time) {
    for (const SteadyTime end = background_->Now() + time; background_->Now() < end;) {
      background_->Advance(milliseconds(10));
      while (background_->RunDueTimer()) RunAll();
    }
  }
  bool IsReady() { return manager_.IsModelReady("m").value_or(false); }

  const std::shared_ptr<FakePlan> plan_ = NewPlan();
  VirtualBackground* background_ = nullptr;
  Manager manager_{{}, [this](SnapshotCell&) {
                     auto background = std::make_unique<VirtualBackground>();
                     background_ = background.get();
                     return background;
                   }};
};

TEST_F(VirtualTimeTest, ModelIsNotIdleWhileItsWaitersAreNotified) {
  bool was_ready = false;
  Request([&](const Status&) {
    Pass(milliseconds(1000));  // its use is polled
    was_ready = IsReady();
  });
  ReportVersion();
  RunAll();
  EXPECT_TRUE(was_ready);
  Pass(milliseconds(1000));
  EXPECT_FALSE(IsReady());
}

// The waiters of the removed model are still being notified when those of its replacement are.
TEST_F(VirtualTimeTest, WaitersOfARemovedModelDoNotPinItsReplacement) {
  struct {
    FakeGate notified, may_end;
  } first, second;
  const auto request_in = [this](auto& phase) {
    return std::thread([this, &phase] {
      Request([&phase](const Status&) {
        phase.notified.Open();
        phase.may_end.WaitUntilOpen();
      });
    });
  };
  const auto load = [this] {
    ReportVersion();
    Request([](const Status&) {});
    RunAll();
    ASSERT_TRUE(IsReady());
  };
  load();
  std::thread first_request = request_in(first);
  first.notified.WaitUntilOpen();
  ASSERT_EQ(manager_.RemoveModel("m"), OkStatus());
  RunAll();
  Configure();
  load();
  std::thread second_request = request_in(second);
  second.notified.WaitUntilOpen();
  first.may_end.Open();
  first_request.join();
  Pass(milliseconds(1000));
  EXPECT_TRUE(IsReady());
  second.may_end.Open();
  second_request.join();
  Pass(milliseconds(1000));
  EXPECT_FALSE(IsReady());
}

TEST_F(VirtualTimeTest, WaitersShareOneTimerAndLeaveNone) {
  int answers = 0;
  for (int i = 100; i > 0; --i)
    Request([&](const Status& status) { answers += status.ok() ? 1 : 0; }, std::chrono::minutes(i));
  EXPECT_EQ(background_->timer_count(), 1U);
  ASSERT_EQ(manager_.SetModel({.name = "m", .load_mode = LoadMode::kOnDemand}), OkStatus());
  ReportVersion();
  RunAll();
  EXPECT_EQ(answers, 100);
  EXPECT_EQ(background_->timer_count(), 0U);
}

TEST_F(VirtualTimeTest, EachWaiterIsNotifiedAtItsDeadline) {
  std::string answers;
  for (const int time_left : {300, 100, 200}) {
    Request(
        [&answers, time_left](const Status& status) {
          answers += fmt::format("{}:{} ", time_left, StatusCodeName(status.code()));
        },
        milliseconds(time_left));
  }
  Request([&](const Status& status) { answers += status.ok() ? "OK " : "error "; });
  Pass(milliseconds(90));
  EXPECT_EQ(answers, "");
  Pass(milliseconds(20));
  EXPECT_EQ(answers, "100:DEADLINE_EXCEEDED ");
  Pass(milliseconds(100));
  EXPECT_EQ(answers, "100:DEADLINE_EXCEEDED 200:DEADLINE_EXCEEDED ");
  Pass(milliseconds(100));
  EXPECT_EQ(answers, "100:DEADLINE_EXCEEDED 200:DEADLINE_EXCEEDED 300:DEADLINE_EXCEEDED ");
  ReportVersion();
  RunAll();
  EXPECT_EQ(answers, "100:DEADLINE_EXCEEDED 200:DEADLINE_EXCEEDED 300:DEADLINE_EXCEEDED OK ");
}

// Version 2 has had all its retries; version 1 could be loaded, and is idle now.
TEST_F(VirtualTimeTest, RequestRetriesAVersionThatFailedLongAgo) {
  const auto broken = NewPlan();
  broken->failures_left = 6;
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan_), FakeVersion(2, broken)));
  Request([](const Status&) {});
  RunAll();
  {
    const auto handle = manager_.GetHandle("m");
    Pass(std::chrono::minutes(2));
  }
  Pass(std::chrono::minutes(1));
  ASSERT_EQ(broken->failures_left, 0);
  ASSERT_FALSE(IsReady());
  std::optional<Status> answer;
  EXPECT_TRUE(manager_.LoadOnDemand({.model = "m",
                                     .version = VersionNumber{2},
                                     .done = [&](Status status) { answer = std::move(status); }}));
  RunAll();
  EXPECT_EQ(answer, OkStatus());
}

// Its load takes 30 ms. One thread at a time.
class TimedLoader final : public Loader {
 public:
  explicit TimedLoader(VirtualBackground& background) : background_(background) {}
  StatusOr<ResourceEstimate> EstimateResources() override { return ResourceEstimate{}; }
  StatusOr<std::unique_ptr<Servable>> Load() override {
    background_.Advance(milliseconds(30));
    return std::make_unique<FakeServable>(NewPlan());
  }

 private:
  VirtualBackground& background_;
};

TEST_F(VirtualTimeTest, LoadTimeExcludesTheWaitForAThread) {
  std::vector<Duration> load_times;
  const int listener = manager_.AddListener([&](const ManagerEvent& event) {
    if (event.version && event.version->state == VersionState::kAvailable)
      load_times.push_back(event.version->load_time);
  });
  ASSERT_TRUE(manager_.SetModel({.name = "always"}).ok());
  manager_.SetAspired(
      "always",
      Aspire(AspiredVersion{VersionNumber{1}, std::make_unique<TimedLoader>(*background_)}));
  background_->Advance(milliseconds(500));
  ASSERT_TRUE(background_->RunLoadStep());
  background_->Advance(milliseconds(500));
  RunAll();
  EXPECT_EQ(load_times, std::vector<Duration>{milliseconds(30)});
  manager_.RemoveListener(listener);
}

}  // namespace
}  // namespace penstock::core
