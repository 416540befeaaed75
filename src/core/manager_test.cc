// SPDX-License-Identifier: Apache-2.0
#include "core/manager.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/manager_fixture.h"

namespace penstock::core {
namespace {

TEST_F(ManagerTest, UnknownModelOrVersionIsNotFound) {
  EXPECT_EQ(manager_.GetHandle("nobody").status(),
            absl::NotFoundError("Servable not found for request: Latest(nobody)"));
  manager_.SetAspired("m", {});
  EXPECT_EQ(manager_.GetHandle("m", VersionNumber{7}).status(),
            absl::NotFoundError(
                "Servable not found for request: Specific(m, 7): the model has no version"));
  EXPECT_TRUE(manager_.VersionStatuses("nobody").empty());
  EXPECT_EQ(manager_.SourceStatus("nobody").code(), StatusCode::kNotFound);
  EXPECT_EQ(manager_.IsModelReady("nobody"), std::nullopt);
}

TEST_F(ManagerTest, RemovedModelStaysListedForAWhile) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan()), FakeVersion(2, NewPlan())));
  ASSERT_TRUE(manager_.SetModels({{.name = "n"}}).ok());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  const std::vector<VersionStatus> left = manager_.VersionStatuses("m");
  ASSERT_EQ(left.size(), 2U);
  EXPECT_EQ(left[0].id.version.value, 2);
  EXPECT_EQ(left[0].state, VersionState::kEnd);
  EXPECT_EQ(left[1].state, VersionState::kEnd);
  EXPECT_EQ(manager_.ModelNames(), std::vector<std::string>{"n"});
  EXPECT_EQ(manager_.GetHandle("m").status().code(), StatusCode::kNotFound);
  // Added again, it is a new one.
  ASSERT_TRUE(manager_.SetModel({.name = "m"}).ok());
  EXPECT_TRUE(manager_.VersionStatuses("m").empty());
}

TEST_F(ManagerTest, ListOfRemovedModelsIsBounded) {
  for (const auto& [count_max, time, left] :
       {std::tuple<size_t, Duration, size_t>{1, std::chrono::hours(1), 1},
        {0, std::chrono::hours(1), 0},
        {2, Duration::zero(), 0}}) {
    Manager manager({.ended_models_max = count_max, .ended_models_time = time});
    ASSERT_TRUE(manager.SetModels({{.name = "a"}, {.name = "b"}}).ok());
    manager.SetAspired("a", Aspire(FakeVersion(1, NewPlan())));
    manager.SetAspired("b", Aspire(FakeVersion(1, NewPlan())));
    ASSERT_TRUE(manager.WaitUntilIdle());
    ASSERT_TRUE(manager.RemoveModel("a").ok());
    ASSERT_TRUE(manager.WaitUntilIdle());
    ASSERT_TRUE(manager.RemoveModel("b").ok());
    ASSERT_TRUE(manager.WaitUntilIdle());
    EXPECT_TRUE(count_max == 2 || manager.VersionStatuses("a").empty());
    EXPECT_EQ(manager.VersionStatuses("b").size(), left);
  }
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

TEST_F(ManagerTest, NewVersionIsPublishedBeforeTheOldOneIsUnloaded) {
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

TEST_F(ManagerTest, AvailableIsNotifiedAfterRequestsFindTheVersion) {
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

TEST_F(ManagerTest, ShorterListUnloadsOnlyTheMissingVersions) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan), FakeVersion(2, plan), FakeVersion(3, plan)));
  EXPECT_EQ(plan->alive, 3);
  AspireAndWait(Aspire(FakeVersion(1, plan), FakeVersion(3, plan)));
  EXPECT_EQ(plan->alive, 2);
  EXPECT_TRUE(manager_.GetHandle("m", VersionNumber{1}).ok());
  EXPECT_FALSE(manager_.GetHandle("m", VersionNumber{2}).ok());
}

TEST_F(ManagerTest, HandleKeepsTheVersionAndAnotherThreadUnloadsIt) {
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

TEST_F(ManagerTest, VersionAspiredAgainDuringItsUnloadIsReloadedAfterIt) {
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

TEST_F(ManagerTest, OnlyTheLastTenEndedVersionsStayListed) {
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
            absl::InvalidArgumentError("Unrecognized servable version label: beta: the model has "
                                       "labels \"next\", \"stable\""));
  EXPECT_EQ(manager_.GetHandleByLabel("x", "stable").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(manager_.GetHandleByLabel("m", "next").status(),
            absl::UnavailableError(
                "label \"next\" of model m waits for version 9: the model has versions 1, 2"));
  EXPECT_FALSE(manager_.Labels("m").at("next").is_ready);
  EXPECT_TRUE(manager_.Labels("m").at("stable").is_ready);
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"stable", {2}}}}).ok());
  EXPECT_EQ(manager_.GetHandleByLabel("m", "stable")->id().version.value, 2);
  EXPECT_EQ(manager_.Labels("m").size(), 1U);
}

TEST_F(ManagerTest, LabelMovesWithTheLoadThatItNeeds) {
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"stable", {1}}}}).ok());
  AspireAndWait(Aspire(FakeVersion(1, NewPlan()), FakeVersion(2, NewPlan())));
  // The label and the version that it shall name come together.
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"stable", {3}}}}).ok());
  EXPECT_EQ(manager_.GetHandleByLabel("m", "stable")->id().version.value, 1);
  auto broken = NewPlan();
  broken->failures_left = 1000;
  manager_.SetAspired("m", Aspire(FakeVersion(2, NewPlan()), FakeVersion(3, broken)));
  ASSERT_TRUE(manager_.WaitFor(
      [&] { return broken->loads == 3 && StatusOf(3).state == VersionState::kEnd; }));
  // It cannot: version 1 is not aspired any more, but stays for the label's sake.
  EXPECT_EQ(manager_.GetHandleByLabel("m", "stable")->id().version.value, 1);
  const LabelState state = manager_.Labels("m").at("stable");
  EXPECT_EQ(state.wanted.value, 3);
  EXPECT_EQ(state.in_force.value, 1);
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"stable", {4}}}}).ok());
  AspireAndWait(Aspire(FakeVersion(2, NewPlan()), FakeVersion(4, NewPlan())));
  EXPECT_EQ(manager_.GetHandleByLabel("m", "stable")->id().version.value, 4);
  EXPECT_EQ(StatusOf(1).state, VersionState::kEnd);
}

TEST_F(ManagerTest, LabelIsComingWhileItsVersionIsNotComplete) {
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"stable", {2}}}}).ok());
  EXPECT_TRUE(manager_.Labels("m").at("stable").is_coming);  // the source has said nothing yet
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  EXPECT_FALSE(manager_.Labels("m").at("stable").is_coming);
  manager_.SetSourceStatus("m", absl::FailedPreconditionError("version 2 is being copied"));
  EXPECT_TRUE(manager_.Labels("m").at("stable").is_coming);
}

TEST_F(ManagerTest, IncompleteVersionIsNotFoundWithItsReason) {
  ASSERT_TRUE(manager_.SetModel({.name = "m"}).ok());
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  manager_.SetSourceStatus("m", absl::FailedPreconditionError("version 2 is being copied"));
  EXPECT_EQ(manager_.GetHandle("m", VersionNumber{2}).status(),
            absl::NotFoundError("Servable not found for request: Specific(m, 2): the model has "
                                "version 1; version 2 is being copied"));
}

TEST_F(ManagerTest, LabelOfAnUnknownVersionKeepsNothingLoaded) {
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"stable", {1}}}}).ok());
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  ASSERT_TRUE(manager_.SetModel({.name = "m", .labels = {{"stable", {9}}}}).ok());
  AspireAndWait(Aspire(FakeVersion(2, NewPlan())));
  EXPECT_EQ(StatusOf(1).state, VersionState::kEnd);
  EXPECT_EQ(manager_.GetHandleByLabel("m", "stable").status(),
            absl::UnavailableError(
                "label \"stable\" of model m waits for version 9: the model has version 2"));
}

// A version that does not exist is no reason to end the service. One that existed and is gone is.
TEST_F(ManagerTest, VersionsServeUntilOneThatANewConfigurationSelectsIsThere) {
  ASSERT_TRUE(manager_.SetModel({.name = "m", .generation = 1, .same_since = 1}).ok());
  AspireAndWait(Aspire(FakeVersion(2, NewPlan())));
  const auto report_none = [&](uint64_t generation) {
    SourceReport report;
    report.versions.emplace();
    report.status = absl::NotFoundError("there are: 1, 2");
    manager_.Report("m", std::move(report), generation);
    ASSERT_TRUE(manager_.WaitUntilIdle());
  };
  ASSERT_TRUE(manager_.SetModel({.name = "m", .generation = 2, .same_since = 2}).ok());
  report_none(2);
  EXPECT_EQ(manager_.GetHandle("m")->id().version.value, 2);
  // The same again, with other models.
  ASSERT_TRUE(manager_.SetModel({.name = "m", .generation = 3, .same_since = 2}).ok());
  report_none(3);
  EXPECT_EQ(manager_.GetHandle("m")->id().version.value, 2);
  EXPECT_FALSE(manager_.StatusOf("m")->has_found);
  manager_.Report("m", {.versions = Aspire(FakeVersion(77, NewPlan())), .status = OkStatus()}, 3);
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(manager_.GetHandle("m")->id().version.value, 77);
  EXPECT_EQ(StatusOf(2).state, VersionState::kEnd);
  report_none(3);  // 77 is gone
  EXPECT_FALSE(manager_.GetHandle("m").ok());
}

TEST_F(ManagerTest, ModelsAreAddedAndRemoved) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager_.SetModels({{.name = "b"}, {.name = "a"}}).ok());
  EXPECT_EQ(manager_.ModelNames(), (Lines{"a", "b"}));
  EXPECT_FALSE(manager_.GetHandle("m").ok());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->alive, 0);
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

TEST_F(ManagerTest, InvalidConfigurationIsRefused) {
  EXPECT_EQ(manager_.SetModels({{.name = ""}}).code(), StatusCode::kInvalidArgument);
  const Status twice = manager_.SetModels({{.name = "a"}, {.name = "a"}});
  EXPECT_EQ(twice, absl::InvalidArgumentError("the model \"a\" is configured twice"));
  EXPECT_EQ(manager_.ModelNames(), Lines{"m"});
}

TEST_F(ManagerTest, SourceErrorUnloadsNothing) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  manager_.SetSourceStatus("m", absl::NotFoundError("no such folder"));
  EXPECT_EQ(manager_.SourceStatus("m"), absl::NotFoundError("no such folder"));
  EXPECT_EQ(Serving(), 1);
  manager_.SetSourceStatus("m", OkStatus());
  EXPECT_TRUE(manager_.SourceStatus("m").ok());
  manager_.SetSourceStatus("nobody", OkStatus());
}

TEST_F(ManagerTest, DrainingManagerServesAndLoadsNothing) {
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
