// SPDX-License-Identifier: Apache-2.0
// Loads that are slow, fail, or are no longer wanted.
#include <gtest/gtest.h>

#include "core/manager_fixture.h"

namespace penstock::core {
namespace {

using ManagerLoadTest = ManagerTest;

TEST_F(ManagerLoadTest, SlowLoadDoesNotDelayOtherModels) {
  ASSERT_TRUE(manager_.SetModel({.name = "slow"}).ok());
  BeginLoad("slow");
  manager_.SetAspired("m", Aspire(FakeVersion(1, NewPlan())));
  EXPECT_TRUE(manager_.WaitFor([&] { return Serving() == 1; }));
  EXPECT_EQ(manager_.IsModelReady("slow"), false);
  EXPECT_EQ(manager_.VersionStatuses("slow")[0].state, VersionState::kLoading);
  gate_.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(manager_.IsModelReady("slow"), true);
}

TEST_F(ManagerLoadTest, HungLoadIsListedAndDoesNotDelayUnloads) {
  const auto plan = BeginLoad();
  ASSERT_EQ(manager_.RunningLoads().size(), 1u);
  EXPECT_EQ(manager_.RunningLoads()[0].id, (ServableId{"m", {1}}));
  manager_.StartDrain();
  EXPECT_EQ(plan->cancels, 1);  // asked to end
  EXPECT_FALSE(manager_.Stop(SteadyTime::min()));
  manager_.WaitUntilUnloaded();  // returns, as nothing is loaded
  EXPECT_EQ(manager_.RunningLoads().size(), 1u);
  gate_.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_TRUE(manager_.RunningLoads().empty());
}

TEST_F(ManagerLoadTest, FailedLoadIsRetriedUntilItSucceeds) {
  auto plan = NewPlan();
  plan->failures_left = 2;
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager_.WaitFor([&] { return Serving() == 1; }));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 3);
  EXPECT_TRUE(StatusOf(1).status.ok());
  EXPECT_EQ(journal_.Take(), (Lines{"m/1 START", "m/1 LOADING", "m/1 START", "m/1 LOADING",
                                    "m/1 START", "m/1 LOADING", "m/1 AVAILABLE"}));
}

// A client that waits for a version takes END for the end.
TEST_F(ManagerLoadTest, FailedLoadIsNotPublishedAsEndedWhileARetryIsLeft) {
  for (const int retries : {0, 1}) {
    Manager manager({.load_retries_max = retries, .load_retry_interval = std::chrono::hours(1)});
    ASSERT_TRUE(manager.SetModel({.name = "m"}).ok());
    auto plan = NewPlan();
    plan->failures_left = 1;
    manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
    ASSERT_TRUE(manager.WaitFor([&] { return manager.VersionStatuses("m")[0].HasFailed(); }));
    const VersionStatus status = manager.VersionStatuses("m")[0];
    EXPECT_EQ(status.state, retries > 0 ? VersionState::kStart : VersionState::kEnd);
    EXPECT_EQ(status.status, absl::DataLossError("broken file"));
    // Nothing is retried any more once the server stops.
    manager.StartDrain();
    EXPECT_EQ(manager.VersionStatuses("m")[0].state, VersionState::kEnd);
  }
}

TEST_F(ManagerLoadTest, OldVersionServesOnWhenTheLoadUsesUpItsRetries) {
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

AspiredVersion Revised(AspiredVersion version, uint64_t revision) {
  version.revision = revision;
  return version;
}

TEST_F(ManagerLoadTest, FailedVersionIsRetriedWhenItsFilesChange) {
  auto broken = NewPlan();
  broken->failures_left = 1000;
  manager_.SetAspired("m", Aspire(Revised(FakeVersion(1, broken), 10)));
  const auto has_given_up = [&] {
    return broken->loads == 3 && StatusOf(1).state == VersionState::kEnd;
  };
  ASSERT_TRUE(manager_.WaitFor(has_given_up));
  AspireAndWait(
      Aspire(Revised(FakeVersion(1, broken), 10)));  // reported again, with the same files
  EXPECT_EQ(broken->loads, 3);
  broken->loads = 0;
  manager_.SetAspired("m", Aspire(Revised(FakeVersion(1, broken), 11)));
  ASSERT_TRUE(manager_.WaitFor(has_given_up));  // with all its retries anew
  AspireAndWait(Aspire(Revised(FakeVersion(1, NewPlan()), 12)));
  EXPECT_EQ(Serving(), 1);
  EXPECT_EQ(broken->loads, 3);
}

TEST_F(ManagerLoadTest, FailedVersionIsRetriedWhenAnOperatorUnloadsAndLoadsIt) {
  auto plan = NewPlan();
  plan->failures_left = 3;  // the load and its two retries
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager_.WaitFor([&] { return plan->failures_left == 0; }));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  ASSERT_TRUE(manager_.SetModel({.name = "m"}).ok());  // the same again changes nothing
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 3);
  ASSERT_TRUE(manager_.SetModel({.name = "m", .load_mode = LoadMode::kNever}).ok());
  ASSERT_TRUE(manager_.SetModel({.name = "m"}).ok());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(Serving(), 1);
}

TEST_F(ManagerLoadTest, ConfigurationWithRetriesFailedRenewsAllRetries) {
  auto plan = NewPlan();
  plan->failures_left = 5;
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager_.WaitFor([&] { return plan->failures_left == 2; }));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  ASSERT_TRUE(manager_.SetModel({.name = "m", .retries_failed = true}).ok());
  EXPECT_TRUE(manager_.WaitFor([&] { return Serving() == 1; }));
}

TEST_F(ManagerLoadTest, HungLoadIsRetriedWhenItHasEnded) {
  ModelConfig config = {.name = "m", .load_timeout = std::chrono::milliseconds(1)};
  ASSERT_TRUE(manager_.SetModel(config).ok());
  const auto plan = BeginLoad();
  ASSERT_TRUE(manager_.WaitFor([&] { return StatusOf(1).HasFailed(); }));
  config.load_timeout = Duration::zero();
  config.retries_failed = true;
  ASSERT_TRUE(manager_.SetModel(config).ok());
  EXPECT_EQ(StatusOf(1).state, VersionState::kStart);
  EXPECT_TRUE(StatusOf(1).status.ok());
  gate_.Open();
  EXPECT_TRUE(manager_.WaitFor([&] { return Serving() == 1; }));
  EXPECT_EQ(plan->loads, 2);
}

TEST_F(ManagerLoadTest, NewestLoaderRetriesAFailedLoad) {
  BeginLoad("m", /*failures=*/1);
  auto other = NewPlan();
  other->failures_left = 1000;
  AspiredVersion changed = FakeVersion(1, other);
  changed.revision = 1;
  manager_.SetAspired("m", Aspire(std::move(changed)));
  manager_.SetAspired("m", Aspire(FakeVersion(1, NewPlan())));  // changed back
  gate_.Open();
  EXPECT_TRUE(manager_.WaitFor([&] { return Serving() == 1; }));
  EXPECT_EQ(other->loads, 0);
}

TEST_F(ManagerLoadTest, ReportForAnEarlierConfigurationIsIgnored) {
  ASSERT_TRUE(manager_.SetModel({.name = "m", .generation = 2}).ok());
  manager_.SetAspired("m", Aspire(FakeVersion(1, NewPlan())), 1);
  manager_.SetSourceStatus("m", absl::NotFoundError("no folder"), 1);
  EXPECT_TRUE(manager_.VersionStatuses("m").empty());
  EXPECT_TRUE(manager_.SourceStatus("m").ok());
  EXPECT_FALSE(manager_.StatusOf("m")->has_report);
  manager_.SetAspired("m", Aspire(FakeVersion(2, NewPlan())), 2);
  ASSERT_TRUE(manager_.WaitUntilIdle());
  const ModelStatus status = *manager_.StatusOf("m");
  EXPECT_TRUE(status.has_report && status.is_ready && status.is_expected);
  ASSERT_EQ(status.versions.size(), 1U);
  EXPECT_TRUE(status.versions[0].is_aspired);
  ASSERT_TRUE(manager_.SetModel({.name = "m", .generation = 3}).ok());
  EXPECT_FALSE(manager_.StatusOf("m")->has_report);
  manager_.SetSourceStatus("m", absl::NotFoundError("no folder"));  // whichever it is
  EXPECT_TRUE(manager_.StatusOf("m")->has_report);
  EXPECT_FALSE(manager_.StatusOf("unknown"));
}

TEST_F(ManagerLoadTest, IncompleteVersionIsNamedUntilItIsAspiredOrTheConfigurationChanges) {
  ASSERT_TRUE(manager_.SetModel({.name = "m", .generation = 2}).ok());
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  const auto is_named = [&](int64_t version) {
    const Status error = manager_.GetHandle("m", VersionNumber{version}).status();
    const bool is_in_status = !manager_.SourceStatus("m", VersionNumber{version}).ok();
    const bool is_in_error = MessageOf(error).find("it has no files") != std::string_view::npos;
    EXPECT_EQ(is_in_status, is_in_error);
    return is_in_error;
  };
  manager_.SetIncomplete("m", {{{3}, "it has no files"}, {{4}, "it has no files"}}, 1);
  EXPECT_FALSE(is_named(3));  // the report is for an earlier configuration
  manager_.SetIncomplete("m", {{{3}, "it has no files"}, {{4}, "it has no files"}}, 2);
  EXPECT_TRUE(is_named(3) && is_named(4));
  EXPECT_FALSE(is_named(5));
  EXPECT_TRUE(manager_.SourceStatus("m").ok());
  AspireAndWait(Aspire(FakeVersion(1, NewPlan()), FakeVersion(3, NewPlan())));
  EXPECT_FALSE(is_named(3));
  EXPECT_TRUE(is_named(4));
  ASSERT_TRUE(manager_.SetModel({.name = "m", .generation = 3}).ok());
  EXPECT_FALSE(is_named(4));
}

TEST_F(ManagerLoadTest, ReportForAnEquivalentEarlierConfigurationIsAppliedButIsNoAnswer) {
  ASSERT_TRUE(manager_.SetModel({.name = "m", .generation = 9, .same_since = 3}).ok());
  manager_.SetAspired("m", Aspire(FakeVersion(1, NewPlan())), 2);
  EXPECT_TRUE(manager_.VersionStatuses("m").empty());
  manager_.SetAspired("m", Aspire(FakeVersion(2, NewPlan())), 3);
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(Serving(), 2);
  manager_.SetSourceStatus("m", absl::NotFoundError("no folder"), 8);
  EXPECT_FALSE(manager_.SourceStatus("m").ok());
  EXPECT_FALSE(manager_.StatusOf("m")->has_report);
  manager_.SetSourceStatus("m", absl::NotFoundError("no folder"), 9);
  EXPECT_TRUE(manager_.StatusOf("m")->has_report);
}

TEST_F(ManagerLoadTest, FilesThatChangeDuringAFailingLoadAreLoadedAtOnce) {
  Manager manager(FastRetries(0));
  ASSERT_TRUE(manager.SetModel({.name = "m"}).ok());
  auto half = NewPlan();
  half->gate = &gate_;
  half->started = &started_;
  half->failures_left = 1;
  manager.SetAspired("m", Aspire(Revised(FakeVersion(1, half), 10)));
  started_.WaitUntilOpen();
  auto whole = NewPlan();
  manager.SetAspired("m", Aspire(Revised(FakeVersion(1, whole), 11)));
  gate_.Open();
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.IsModelReady("m").value());
  EXPECT_EQ(half->loads, 1);
  EXPECT_EQ(whole->loads, 1);
}

TEST_F(ManagerLoadTest, LoadedVersionStaysWhenItsFilesChange) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(Revised(FakeVersion(1, plan), 10)));
  AspireAndWait(Aspire(Revised(FakeVersion(1, plan), 11)));
  EXPECT_EQ(plan->loads, 1);
  EXPECT_EQ(Serving(), 1);
}

TEST_F(ManagerLoadTest, LoaderThatThrowsOrReturnsNullFailsTheLoad) {
  auto plan = NewPlan();
  plan->throws = true;
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager_.WaitFor([&] { return StatusOf(1).HasFailed(); }));
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

TEST_F(ManagerLoadTest, VersionWithoutALoaderDoesNotAffectOthers) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan()),
                       AspiredVersion{VersionNumber{2}, absl::NotFoundError("no model file")}));
  EXPECT_EQ(Serving(), 1);
  EXPECT_EQ(StatusOf(2).state, VersionState::kEnd);
  EXPECT_EQ(StatusOf(2).status, absl::NotFoundError("no model file"));
  // The source can make a loader now.
  AspireAndWait(Aspire(FakeVersion(1, NewPlan()), FakeVersion(2, NewPlan())));
  EXPECT_EQ(Serving(), 2);
}

TEST_F(ManagerLoadTest, LoadThatIsNoLongerAspiredIsUnloaded) {
  const auto plan = BeginLoad();
  manager_.SetAspired("m", {});
  gate_.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->alive, 0);
  EXPECT_EQ(StatusOf(1).status, absl::CancelledError("Loading of servable cancelled"));
  EXPECT_EQ(journal_.Take(), (Lines{"m/1 START", "m/1 LOADING", "m/1 UNLOADING", "m/1 END"}));
}

TEST_F(ManagerLoadTest, FailedLoadThatIsNoLongerAspiredIsNotRetried) {
  const auto plan = BeginLoad("m", /*failures=*/1);
  manager_.SetAspired("m", {});
  gate_.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 1);
  EXPECT_EQ(StatusOf(1).state, VersionState::kEnd);
}

TEST_F(ManagerLoadTest, VersionAspiredAgainDuringItsLoadIsLoadedOnce) {
  const auto plan = BeginLoad();
  manager_.SetAspired("m", {});
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  gate_.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 1);
  EXPECT_EQ(Serving(), 1);
}

TEST_F(ManagerLoadTest, WaitForEndsAtItsDeadline) {
  EXPECT_FALSE(manager_.WaitFor([] { return false; }, Clock::Real().Now()));
  BeginLoad();
  EXPECT_FALSE(manager_.WaitUntilIdle(Clock::Real().Now()));
  gate_.Open();
  EXPECT_TRUE(manager_.WaitUntilIdle());
}

TEST(ManagerTimeoutTest, HungLoadDoesNotDelayOthersAndIsRetriedWhenItHasEnded) {
  ManagerOptions options = FastRetries(3);
  options.load_threads = 1;
  options.load_timeout = std::chrono::milliseconds(10);
  Manager manager(options);
  ASSERT_TRUE(
      manager.SetModels({{.name = "hung"}, {.name = "m", .load_timeout = Duration(0)}}).ok());
  FakeGate gate;
  auto hung = NewPlan();
  hung->gate = &gate;
  manager.SetAspired("hung", Aspire(FakeVersion(1, hung)));
  manager.SetAspired("m", Aspire(FakeVersion(1, NewPlan())));
  EXPECT_TRUE(manager.WaitFor([&] { return manager.GetHandle("m").ok(); }));
  ASSERT_TRUE(manager.WaitFor([&] { return manager.VersionStatuses("hung")[0].HasFailed(); }));
  EXPECT_EQ(manager.VersionStatuses("hung")[0].status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(hung->cancels, 1);
  EXPECT_EQ(hung->loads, 1);
  gate.Open();
  EXPECT_TRUE(manager.WaitFor([&] { return manager.GetHandle("hung").ok(); }));
  EXPECT_EQ(hung->loads, 2);
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(hung->alive, 1);
}

TEST(ManagerReadinessTest, ReadinessRuleDecidesWhichModelsCount) {
  using Kind = ReadinessRule::Kind;
  for (const auto& [rule, ready_with_a] :
       {std::pair<ReadinessRule, bool>{{Kind::kAllModels}, false},
        {{Kind::kAnyModel}, true},
        {{Kind::kNamedModels, {"a"}}, true},
        {{Kind::kNamedModels, {"b"}}, false},
        {{Kind::kNamedModels, {"nobody"}}, false}}) {
    Manager manager({.readiness = rule});
    ASSERT_TRUE(
        manager
            .SetModels(
                {{.name = "a"}, {.name = "b"}, {.name = "never", .load_mode = LoadMode::kNever}})
            .ok());
    EXPECT_FALSE(manager.IsReady());
    manager.SetAspired("a", Aspire(FakeVersion(1, NewPlan())));
    ASSERT_TRUE(manager.WaitUntilIdle());
    EXPECT_EQ(manager.IsReady(), ready_with_a) << static_cast<int>(rule.kind);
    manager.SetAspired("b", Aspire(FakeVersion(1, NewPlan())));
    ASSERT_TRUE(manager.WaitUntilIdle());
    EXPECT_EQ(manager.IsReady(), !rule.models.contains("nobody"));
  }
}

}  // namespace
}  // namespace penstock::core
