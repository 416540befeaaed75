// SPDX-License-Identifier: Apache-2.0
#include "core/manager.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "base/executor.h"
#include "core/loader_fake.h"

namespace penstock::core {
namespace {

std::shared_ptr<FakePlan> NewPlan() { return std::make_shared<FakePlan>(); }

ManagerOptions FastRetries(int retries_max) {
  return {.load_retries_max = retries_max,
          .load_retry_interval = std::chrono::milliseconds(1),
          .load_retry_interval_max = std::chrono::milliseconds(2)};
}

// Collects the events as "model/version STATE".
class Journal {
 public:
  explicit Journal(Manager& manager) : manager_(manager) {
    id_ = manager.AddListener([this](const ManagerEvent& event) {
      MutexLock lock(mutex_);
      if (!event.version) return;
      lines_.push_back(fmt::format("{}/{} {}", event.model, event.version->id.version.value,
                                   VersionStateName(event.version->state)));
    });
  }
  ~Journal() { manager_.RemoveListener(id_); }
  std::vector<std::string> Take() {
    MutexLock lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  Manager& manager_;
  int id_ = 0;
  Mutex mutex_;
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
};

using Lines = std::vector<std::string>;

class ManagerTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(manager_.SetModel({.name = "m"}).ok()); }

  void AspireAndWait(std::vector<AspiredVersion> versions) {
    manager_.SetAspired("m", std::move(versions));
    ASSERT_TRUE(manager_.WaitUntilIdle());
  }
  // The newest ready version; 0 if there is none.
  int64_t Serving() {
    StatusOr<Handle> handle = manager_.GetHandle("m");
    return handle.ok() ? handle->id().version.value : 0;
  }
  VersionStatus StatusOf(int64_t version) {
    for (const VersionStatus& status : manager_.VersionStatuses("m")) {
      if (status.id.version.value == version) return status;
    }
    return {};
  }

  Manager manager_{FastRetries(2)};
  Journal journal_{manager_};
};

TEST_F(ManagerTest, UnknownModelOrVersionIsNotFound) {
  EXPECT_EQ(manager_.GetHandle("nobody").status(),
            absl::NotFoundError("Servable not found for request: Latest(nobody)"));
  EXPECT_EQ(manager_.GetHandle("m", VersionNumber{7}).status(),
            absl::NotFoundError("Servable not found for request: Specific(m, 7)"));
  EXPECT_TRUE(manager_.VersionStatuses("nobody").empty());
  EXPECT_EQ(manager_.SourceStatus("nobody").code(), StatusCode::kNotFound);
  EXPECT_EQ(manager_.IsModelReady("nobody"), std::nullopt);
}

TEST_F(ManagerTest, LoadsServesAndUnloadsInOrder) {
  auto plan = NewPlan();
  EXPECT_FALSE(manager_.IsReady());
  AspireAndWait(Aspire(FakeVersion(0, plan)));
  EXPECT_TRUE(manager_.IsReady());
  EXPECT_EQ(manager_.IsModelReady("m"), true);
  EXPECT_TRUE(manager_.GetHandle("m", VersionNumber{0}).ok());
  EXPECT_EQ(plan->alive, 1);
  EXPECT_EQ(journal_.Take(), (Lines{"m/0 START", "m/0 LOADING", "m/0 AVAILABLE"}));
  AspireAndWait({});
  EXPECT_EQ(plan->alive, 0);
  EXPECT_FALSE(manager_.IsReady());
  EXPECT_FALSE(manager_.GetHandle("m").ok());
  EXPECT_EQ(journal_.Take(), (Lines{"m/0 UNLOADING", "m/0 END"}));
  EXPECT_TRUE(StatusOf(0).status.ok());
}

TEST_F(ManagerTest, NewVersionIsPublishedBeforeTheOldOneGoes) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  journal_.Take();
  AspireAndWait(Aspire(FakeVersion(2, plan)));
  EXPECT_EQ(Serving(), 2);
  EXPECT_EQ(plan->alive, 1);
  EXPECT_EQ(journal_.Take(),
            (Lines{"m/2 START", "m/2 LOADING", "m/2 AVAILABLE", "m/1 UNLOADING", "m/1 END"}));
  // Statuses are newest first.
  EXPECT_EQ(manager_.VersionStatuses("m")[0].id.version.value, 2);
  EXPECT_EQ(manager_.VersionStatuses("m")[1].id.version.value, 1);
}

TEST_F(ManagerTest, AvailableIsToldOnceRequestsFindTheVersion) {
  std::atomic<int> found{0};
  const int id = manager_.AddListener([&](const ManagerEvent& event) {
    if (!event.version || event.version->state != VersionState::kAvailable) return;
    found += manager_.GetHandle("m", event.version->id.version).ok() ? 1 : 0;
  });
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  AspireAndWait(Aspire(FakeVersion(2, NewPlan())));
  EXPECT_EQ(found, 2);
  manager_.RemoveListener(id);
}

TEST_F(ManagerTest, AspiringALoadedVersionAgainDoesNotReload) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  EXPECT_EQ(plan->loads, 1);
}

TEST_F(ManagerTest, SmallerVersionNumberTakesOver) {
  AspireAndWait(Aspire(FakeVersion(5, NewPlan())));
  AspireAndWait(Aspire(FakeVersion(3, NewPlan())));
  EXPECT_EQ(Serving(), 3);
}

TEST_F(ManagerTest, PartialListUnloadsOnlyTheMissing) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan), FakeVersion(2, plan), FakeVersion(3, plan)));
  EXPECT_EQ(plan->alive, 3);
  AspireAndWait(Aspire(FakeVersion(1, plan), FakeVersion(3, plan)));
  EXPECT_EQ(plan->alive, 2);
  EXPECT_TRUE(manager_.GetHandle("m", VersionNumber{1}).ok());
  EXPECT_FALSE(manager_.GetHandle("m", VersionNumber{2}).ok());
}

TEST_F(ManagerTest, HandleKeepsTheVersionAndItGoesOffTheRequestThread) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  Handle handle = *manager_.GetHandle("m");
  Handle copy = handle.Share();
  manager_.SetAspired("m", Aspire(FakeVersion(2, NewPlan())));
  ASSERT_TRUE(manager_.WaitFor([&] { return Serving() == 2; }));
  ASSERT_TRUE(manager_.WaitFor([&] { return StatusOf(1).state == VersionState::kUnloading; }));
  EXPECT_TRUE(static_cast<FakeServable&>(handle.servable()).IsAlive());
  { const Handle gone = std::move(handle); }
  EXPECT_EQ(StatusOf(1).state, VersionState::kUnloading);
  std::thread([dropped = std::move(copy)] {}).join();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->alive, 0);
  EXPECT_EQ(StatusOf(1).state, VersionState::kEnd);
}

TEST_F(ManagerTest, PublishingDoesNotWaitForHandles) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  ASSERT_TRUE(manager_.SetModel({.name = "other"}).ok());
  const Handle held = *manager_.GetHandle("m");
  manager_.SetAspired("m", Aspire(FakeVersion(2, NewPlan())));
  manager_.SetAspired("other", Aspire(FakeVersion(1, NewPlan())));
  EXPECT_TRUE(manager_.WaitFor([&] { return manager_.GetHandle("other").ok() && Serving() == 2; }));
  EXPECT_EQ(held.id().version.value, 1);
}

TEST_F(ManagerTest, SlowLoadHoldsUpNoOtherModel) {
  FakeGate gate;
  FakeGate started;
  auto slow = NewPlan();
  slow->gate = &gate;
  slow->started = &started;
  ASSERT_TRUE(manager_.SetModel({.name = "slow"}).ok());
  manager_.SetAspired("slow", Aspire(FakeVersion(1, slow)));
  started.WaitUntilOpen();
  manager_.SetAspired("m", Aspire(FakeVersion(1, NewPlan())));
  EXPECT_TRUE(manager_.WaitFor([&] { return Serving() == 1; }));
  EXPECT_EQ(manager_.IsModelReady("slow"), false);
  EXPECT_EQ(manager_.VersionStatuses("slow")[0].state, VersionState::kLoading);
  gate.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(manager_.IsModelReady("slow"), true);
}

TEST_F(ManagerTest, FailedLoadIsRetriedUntilItSucceeds) {
  auto plan = NewPlan();
  plan->failures_left = 2;
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager_.WaitFor([&] { return Serving() == 1; }));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 3);
  EXPECT_TRUE(StatusOf(1).status.ok());
  EXPECT_EQ(journal_.Take(), (Lines{"m/1 START", "m/1 LOADING", "m/1 END", "m/1 LOADING", "m/1 END",
                                    "m/1 LOADING", "m/1 AVAILABLE"}));
}

TEST_F(ManagerTest, FailedLoadIsGivenUpAndTheOldVersionServesOn) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  auto broken = NewPlan();
  broken->failures_left = 1000;
  manager_.SetAspired("m", Aspire(FakeVersion(2, broken)));
  ASSERT_TRUE(manager_.WaitFor(
      [&] { return broken->loads == 3 && StatusOf(2).state == VersionState::kEnd; }));
  EXPECT_EQ(StatusOf(2).status, absl::DataLossError("broken file"));
  EXPECT_EQ(Serving(), 1);
  // A later good version takes over and lets the old one go.
  AspireAndWait(Aspire(FakeVersion(3, NewPlan())));
  EXPECT_EQ(Serving(), 3);
  EXPECT_EQ(StatusOf(1).state, VersionState::kEnd);
  EXPECT_EQ(broken->loads, 3);
}

// Reports the servable of `handle` broken.
void Break(const Handle& handle, std::string_view why = "GPU fell off") {
  static_cast<FakeServable&>(handle.servable()).Break(Error(StatusCode::kInternal, "{}", why));
}

TEST_F(ManagerTest, BrokenVersionIsTakenFromServiceAndLoadedAgain) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  journal_.Take();
  {
    const Handle held = *manager_.GetHandle("m");
    Break(held);
    ASSERT_TRUE(manager_.WaitFor([&] { return StatusOf(1).state == VersionState::kUnloading; }));
    EXPECT_EQ(StatusOf(1).status, absl::InternalError("GPU fell off"));
    EXPECT_EQ(manager_.IsModelReady("m"), false);
    const Status refused =
        absl::UnavailableError("Servable m version 1 was taken from service: GPU fell off");
    EXPECT_EQ(manager_.GetHandle("m").status(), refused);
    EXPECT_EQ(manager_.GetHandle("m", VersionNumber{1}).status(), refused);
    EXPECT_EQ(manager_.GetHandle("m", VersionNumber{2}).status().code(), StatusCode::kNotFound);
    EXPECT_EQ(plan->alive, 1);
  }
  ASSERT_TRUE(manager_.WaitFor([&] { return Serving() == 1; }));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 2);
  EXPECT_EQ(plan->alive, 1);
  EXPECT_TRUE(StatusOf(1).status.ok());
  EXPECT_EQ(journal_.Take(), (Lines{"m/1 UNLOADING", "m/1 END", "m/1 LOADING", "m/1 AVAILABLE"}));
}

TEST_F(ManagerTest, BrokenVersionHarmsNoOther) {
  auto plan = NewPlan();
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"new", {2}}, {"old", {1}}}}).ok());
  ASSERT_TRUE(manager_.SetModel({.name = "other"}).ok());
  manager_.SetAspired("other", Aspire(FakeVersion(2, plan)));
  AspireAndWait(Aspire(FakeVersion(1, plan), FakeVersion(2, plan)));
  const Handle held = *manager_.GetHandle("m", VersionNumber{2});
  Break(held);
  ASSERT_TRUE(manager_.WaitFor([&] { return Serving() == 1; }));
  EXPECT_EQ(manager_.GetHandle("m", VersionNumber{2}).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(manager_.GetHandleByLabel("m", "new").status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(manager_.GetHandleByLabel("m", "old").ok());
  EXPECT_EQ(manager_.IsModelReady("m"), true);
  EXPECT_TRUE(manager_.GetHandle("other").ok());
  EXPECT_EQ(plan->loads, 3);
}

TEST_F(ManagerTest, VersionThatBreaksAgainAndAgainIsGivenUp) {
  auto plan = NewPlan();
  plan->breaks_at_once = true;
  Manager manager({.load_retries_max = 2, .load_retry_interval = std::chrono::milliseconds(1)});
  ASSERT_TRUE(manager.SetModel({.name = "m"}).ok());
  manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager.WaitFor([&] {
    return plan->loads == 3 && manager.VersionStatuses("m")[0].state == VersionState::kEnd;
  }));
  EXPECT_EQ(plan->alive, 0);
  EXPECT_EQ(
      manager.GetHandle("m").status(),
      absl::UnavailableError("Servable m version 1 was taken from service: broken from the start"));
  EXPECT_EQ(manager.VersionStatuses("m")[0].status, absl::DataLossError("broken from the start"));
  // A source that lists it again changes nothing; one that drops it does.
  manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 3);
  manager.SetAspired("m", {});
  EXPECT_EQ(manager.GetHandle("m").status().code(), StatusCode::kNotFound);
  plan->breaks_at_once = false;
  manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.GetHandle("m").ok());
}

TEST_F(ManagerTest, BrokenAfterServingLongIsLoadedAgainHoweverOftenThatHappens) {
  auto plan = NewPlan();
  Manager manager({.load_retries_max = 0,
                   .load_retry_interval = std::chrono::hours(1),
                   .load_retry_interval_max = Duration::zero()});  // any time is long
  ASSERT_TRUE(manager.SetModel({.name = "m"}).ok());
  manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
  for (int loads = 1; loads <= 5; ++loads) {
    ASSERT_TRUE(
        manager.WaitFor([&] { return plan->loads == loads && manager.GetHandle("m").ok(); }));
    Break(*manager.GetHandle("m"));
  }
  ASSERT_TRUE(manager.WaitFor([&] { return plan->loads == 6; }));
}

TEST_F(ManagerTest, ReportOfAnEarlierLoadDoesNotHarmALaterOne) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  Handle held = *manager_.GetHandle("m");
  Break(held, "first");
  Break(held, "second");
  Break(held, "");
  { const Handle gone = std::move(held); }
  ASSERT_TRUE(manager_.WaitFor([&] { return plan->loads == 2 && Serving() == 1; }));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 2);
}

TEST_F(ManagerTest, BrokenVersionThatIsNotWantedAnyMoreIsNotLoadedAgain) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  {
    const Handle held = *manager_.GetHandle("m");
    Break(held);
    ASSERT_TRUE(manager_.WaitFor([&] { return StatusOf(1).state == VersionState::kUnloading; }));
    manager_.SetAspired("m", Aspire(FakeVersion(2, NewPlan())));
    ASSERT_TRUE(manager_.WaitFor([&] { return Serving() == 2; }));
    Break(held);  // nobody cares
  }
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(StatusOf(1).state, VersionState::kEnd);
  EXPECT_EQ(StatusOf(1).status, absl::InternalError("GPU fell off"));
  EXPECT_EQ(plan->loads, 1);
  EXPECT_EQ(manager_.GetHandle("m", VersionNumber{1}).status().code(), StatusCode::kNotFound);
}

TEST_F(ManagerTest, BrokenWhileTheModelIsRemoved) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  {
    const Handle held = *manager_.GetHandle("m");
    ASSERT_TRUE(manager_.RemoveModel("m").ok());
    Break(held);
  }
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->alive, 0);
  EXPECT_EQ(plan->loads, 1);
}

TEST_F(ManagerTest, LoaderThatThrowsOrGivesNothingIsAnError) {
  auto plan = NewPlan();
  plan->throws = true;
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager_.WaitFor([&] { return StatusOf(1).state == VersionState::kEnd; }));
  EXPECT_EQ(StatusOf(1).status, absl::InternalError("the loader threw: broken library"));
  auto number = NewPlan();
  number->throws_no_exception = true;
  manager_.SetAspired("m", Aspire(FakeVersion(3, number)));
  ASSERT_TRUE(manager_.WaitFor([&] { return StatusOf(3).state == VersionState::kEnd; }));
  EXPECT_EQ(StatusOf(3).status, absl::InternalError("the loader threw"));
  auto estimate = NewPlan();
  estimate->estimate_throws = true;
  manager_.SetAspired("m", Aspire(FakeVersion(4, estimate)));
  ASSERT_TRUE(manager_.WaitFor([&] { return StatusOf(4).state == VersionState::kEnd; }));
  EXPECT_EQ(StatusOf(4).status, absl::InternalError("the loader threw: broken disk"));
  AspireAndWait(Aspire(AspiredVersion{VersionNumber{2}, std::unique_ptr<Loader>()}));
  EXPECT_EQ(StatusOf(2).status, absl::InternalError("the source made no loader"));
}

TEST_F(ManagerTest, ErrorItemHarmsNoOtherVersion) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan()),
                       AspiredVersion{VersionNumber{2}, absl::NotFoundError("no model file")}));
  EXPECT_EQ(Serving(), 1);
  EXPECT_EQ(StatusOf(2).state, VersionState::kEnd);
  EXPECT_EQ(StatusOf(2).status, absl::NotFoundError("no model file"));
  // The source can make a loader now.
  AspireAndWait(Aspire(FakeVersion(1, NewPlan()), FakeVersion(2, NewPlan())));
  EXPECT_EQ(Serving(), 2);
}

TEST_F(ManagerTest, LoadThatIsNoLongerWantedIsUndone) {
  FakeGate gate;
  FakeGate started;
  auto plan = NewPlan();
  plan->gate = &gate;
  plan->started = &started;
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  started.WaitUntilOpen();
  manager_.SetAspired("m", {});
  gate.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->alive, 0);
  EXPECT_EQ(StatusOf(1).status, absl::CancelledError("Loading of servable cancelled"));
  EXPECT_EQ(journal_.Take(), (Lines{"m/1 START", "m/1 LOADING", "m/1 UNLOADING", "m/1 END"}));
}

TEST_F(ManagerTest, LoadThatFailsWhenNoLongerWantedIsNotRetried) {
  FakeGate gate;
  FakeGate started;
  auto plan = NewPlan();
  plan->gate = &gate;
  plan->started = &started;
  plan->failures_left = 1;
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  started.WaitUntilOpen();
  manager_.SetAspired("m", {});
  gate.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 1);
  EXPECT_EQ(StatusOf(1).state, VersionState::kEnd);
}

TEST_F(ManagerTest, WantedAgainDuringItsLoadIsLoadedOnce) {
  FakeGate gate;
  FakeGate started;
  auto plan = NewPlan();
  plan->gate = &gate;
  plan->started = &started;
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  started.WaitUntilOpen();
  manager_.SetAspired("m", {});
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  gate.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 1);
  EXPECT_EQ(Serving(), 1);
}

TEST_F(ManagerTest, WantedAgainDuringItsUnloadIsLoadedWhenThatIsOver) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  {
    const Handle held = *manager_.GetHandle("m");
    manager_.SetAspired("m", {});
    manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
    EXPECT_EQ(StatusOf(1).state, VersionState::kUnloading);
    EXPECT_EQ(plan->loads, 1);
  }
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 2);
  EXPECT_EQ(Serving(), 1);
  EXPECT_EQ(plan->alive, 1);
}

TEST_F(ManagerTest, ResourcePreservingUnloadsFirst) {
  ASSERT_TRUE(manager_.SetModel({.name = "m", .policy = &ResourcePreservingPolicy()}).ok());
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  journal_.Take();
  AspireAndWait(Aspire(FakeVersion(2, NewPlan())));
  EXPECT_EQ(Serving(), 2);
  EXPECT_EQ(journal_.Take(),
            (Lines{"m/2 START", "m/1 UNLOADING", "m/1 END", "m/2 LOADING", "m/2 AVAILABLE"}));
}

TEST_F(ManagerTest, EndedVersionsAreForgottenButForTheLastTen) {
  for (int64_t version = 1; version <= 30; ++version) {
    AspireAndWait(Aspire(FakeVersion(version, NewPlan())));
  }
  const std::vector<VersionStatus> statuses = manager_.VersionStatuses("m");
  ASSERT_EQ(statuses.size(), 11U);
  EXPECT_EQ(statuses.front().id.version.value, 30);
  EXPECT_EQ(statuses.back().id.version.value, 20);
}

TEST_F(ManagerTest, Labels) {
  auto plan = NewPlan();
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"stable", {1}}, {"next", {9}}}}).ok());
  AspireAndWait(Aspire(FakeVersion(1, plan), FakeVersion(2, plan)));
  EXPECT_EQ(manager_.GetHandleByLabel("m", "stable")->id().version.value, 1);
  EXPECT_EQ(manager_.GetHandleByLabel("m", "beta").status(),
            absl::InvalidArgumentError("Unrecognized servable version label: beta"));
  EXPECT_EQ(manager_.GetHandleByLabel("x", "stable").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(manager_.GetHandleByLabel("m", "next").status(),
            absl::NotFoundError("Servable not found for request: Specific(m, 9)"));
  // A label that serves cannot be moved to a version that does not; nothing changes then.
  const Status refused =
      manager_.SetModels({{.name = "another"}, {.name = "m", .labels = {{"stable", {3}}}}});
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("version 3 of model m"), absl::string_view::npos);
  EXPECT_EQ(manager_.ModelNames(), Lines{"m"});
  EXPECT_EQ(manager_.GetHandleByLabel("m", "stable")->id().version.value, 1);
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"stable", {2}}}}).ok());
  EXPECT_EQ(manager_.GetHandleByLabel("m", "stable")->id().version.value, 2);
  EXPECT_EQ(manager_.Labels("m").size(), 1U);
}

TEST_F(ManagerTest, ModelsComeAndGo) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager_.SetModels({{.name = "b"}, {.name = "a"}}).ok());
  EXPECT_EQ(manager_.ModelNames(), (Lines{"a", "b"}));
  EXPECT_FALSE(manager_.GetHandle("m").ok());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->alive, 0);
  EXPECT_TRUE(manager_.VersionStatuses("m").empty());
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));  // of a model that is gone: ignored
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 1);
  EXPECT_EQ(manager_.RemoveModel("m").code(), StatusCode::kNotFound);
  ASSERT_TRUE(manager_.SetModel({.name = "m"}).ok());
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  EXPECT_EQ(Serving(), 1);
  EXPECT_TRUE(manager_.RemoveModel("m").ok());
}

TEST_F(ManagerTest, ModelRemovedAndAddedAgainWhileItUnloads) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  {
    const Handle held = *manager_.GetHandle("m");
    ASSERT_TRUE(manager_.RemoveModel("m").ok());
    ASSERT_TRUE(manager_.SetModel({.name = "m"}).ok());
    manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
    EXPECT_EQ(plan->loads, 1);
  }
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(Serving(), 1);
  EXPECT_EQ(plan->loads, 2);
}

TEST_F(ManagerTest, BadConfigurationIsRefused) {
  EXPECT_EQ(manager_.SetModels({{.name = ""}}).code(), StatusCode::kInvalidArgument);
  const Status twice = manager_.SetModels({{.name = "a"}, {.name = "a"}});
  EXPECT_EQ(twice, absl::InvalidArgumentError("the model \"a\" is configured twice"));
  EXPECT_EQ(manager_.ModelNames(), Lines{"m"});
}

TEST_F(ManagerTest, SourceStatusIsKeptAndUnloadsNothing) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  manager_.SetSourceStatus("m", absl::NotFoundError("no such folder"));
  EXPECT_EQ(manager_.SourceStatus("m"), absl::NotFoundError("no such folder"));
  EXPECT_EQ(Serving(), 1);
  manager_.SetSourceStatus("m", OkStatus());
  EXPECT_TRUE(manager_.SourceStatus("m").ok());
  manager_.SetSourceStatus("nobody", OkStatus());
}

TEST_F(ManagerTest, DrainKeepsServingAndLoadsNothing) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  manager_.StartDrain();
  AspireAndWait(Aspire(FakeVersion(2, plan)));
  EXPECT_EQ(Serving(), 1);
  EXPECT_EQ(manager_.SetModel({.name = "x"}).code(), StatusCode::kFailedPrecondition);
  manager_.Stop();
  EXPECT_EQ(plan->alive, 0);
  EXPECT_FALSE(manager_.IsReady());
  EXPECT_FALSE(manager_.GetHandle("m").ok());
  EXPECT_TRUE(manager_.ModelNames().empty());
}

TEST_F(ManagerTest, WaitsEndAtTheirTime) {
  EXPECT_FALSE(manager_.WaitFor([] { return false; }, Clock::Real().Now()));
  FakeGate gate;
  auto plan = NewPlan();
  plan->gate = &gate;
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  EXPECT_FALSE(manager_.WaitUntilIdle(Clock::Real().Now()));
  gate.Open();
  EXPECT_TRUE(manager_.WaitUntilIdle());
}

TEST(ManagerMemoryTest, LoadOverTheLimitFailsAndSaysHowMuchIsMissing) {
  ManagerOptions options = FastRetries(1000);
  options.ram_bytes_max = 100;
  Manager manager(options);
  ASSERT_TRUE(manager.SetModels({{.name = "a"}, {.name = "b"}}).ok());
  auto plan = NewPlan();
  plan->estimate = 70;
  manager.SetAspired("a", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager.WaitUntilIdle());
  manager.SetAspired("b", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager.WaitFor([&] {
    const auto statuses = manager.VersionStatuses("b");
    return !statuses.empty() && statuses[0].state == VersionState::kEnd;
  }));
  EXPECT_EQ(manager.VersionStatuses("b")[0].status,
            absl::ResourceExhaustedError(
                "Insufficient resources to load servable b version 1: it takes 70 bytes, and 70 of "
                "the limit of 100 are taken, so that 40 are missing"));
  // When there is room again, the retry succeeds.
  manager.SetAspired("a", {});
  EXPECT_TRUE(manager.WaitFor([&] { return manager.GetHandle("b").ok(); }));
}

TEST(ManagerListenerTest, RemovedListenerIsNotCalledAndMayRemoveItself) {
  Manager manager;
  int calls = 0;
  int id = 0;
  id = manager.AddListener([&](const ManagerEvent&) {
    ++calls;
    manager.RemoveListener(id);
  });
  ASSERT_TRUE(manager.SetModel({.name = "a"}).ok());
  ASSERT_TRUE(manager.SetModel({.name = "b"}).ok());
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(calls, 1);
}

TEST(ManagerListenerTest, ListenerMayChangeModels) {
  Manager manager;
  std::atomic<bool> done{false};
  const int id = manager.AddListener([&](const ManagerEvent& event) {
    if (event.model == "a" && !done.exchange(true)) {
      EXPECT_TRUE(manager.SetModel({.name = "b"}).ok());
    }
  });
  ASSERT_TRUE(manager.SetModel({.name = "a"}).ok());
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(manager.ModelNames(), (Lines{"a", "b"}));
  manager.RemoveListener(id);
}

}  // namespace
}  // namespace penstock::core
