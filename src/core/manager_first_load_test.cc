// SPDX-License-Identifier: Apache-2.0
// Requests that come before the first load of their model is over, and the models that count for
// readiness.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "core/manager_fixture.h"

namespace penstock::core {
namespace {

using std::chrono::milliseconds;

// A manager with a model that shall be loaded. One thread.
class FirstLoadTest : public ManagerTest {
 protected:
  struct Outcome {
    FakeGate answered;
    Status status;
  };
  bool Request(Outcome& outcome, std::optional<VersionNumber> version = std::nullopt,
               const std::string& label = "", SteadyTime deadline = kNoDeadline) {
    return manager_.AwaitFirstLoad({.model = "m",
                                    .version = version,
                                    .label = label,
                                    .deadline = deadline,
                                    .done = [&outcome](Status status) {
                                      outcome.status = std::move(status);
                                      outcome.answered.Open();
                                    }});
  }
  Status ErrorNow() { return manager_.GetHandle("m").status(); }
};

TEST_F(FirstLoadTest, RequestWaitsForTheFirstLoad) {
  EXPECT_EQ(ErrorNow(), absl::UnavailableError("model m is being loaded: try again later"));
  Outcome any, by_label;
  ASSERT_EQ(manager_.SetModel({.name = "m", .labels = {{"stable", {1}}}}), OkStatus());
  ASSERT_TRUE(Request(any));
  ASSERT_TRUE(Request(by_label, std::nullopt, "stable"));
  BeginLoad();
  EXPECT_EQ(ErrorNow(), absl::UnavailableError("model m is being loaded: try again later"));
  gate_.Open();
  any.answered.WaitUntilOpen();
  by_label.answered.WaitUntilOpen();
  EXPECT_EQ(any.status, OkStatus());
  EXPECT_EQ(by_label.status, OkStatus());
}

TEST_F(FirstLoadTest, FailedFirstLoadAnswersWaitingAndLaterRequests) {
  Manager manager({.load_retry_interval = std::chrono::hours(1)});
  ASSERT_EQ(manager.SetModel({.name = "m"}), OkStatus());
  Outcome outcome;
  ASSERT_TRUE(manager.AwaitFirstLoad({.model = "m", .done = [&outcome](Status status) {
                                        outcome.status = std::move(status);
                                        outcome.answered.Open();
                                      }}));
  const auto plan = NewPlan();
  plan->failures_left = 1;
  manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
  outcome.answered.WaitUntilOpen();
  const Status reason = absl::UnavailableError("model m cannot be loaded: broken file");
  EXPECT_EQ(outcome.status, reason);
  EXPECT_EQ(manager.GetHandle("m").status(), reason);
  EXPECT_EQ(manager.GetHandle("m", VersionNumber{1}).status(), reason);
  EXPECT_EQ(manager.GetHandle("m", VersionNumber{2}).status(),
            absl::NotFoundError(
                "Servable not found for request: Specific(m, 2): the model has version 1"));
}

TEST_F(FirstLoadTest, SourceErrorAnswersTheRequest) {
  Outcome outcome;
  ASSERT_TRUE(Request(outcome));
  manager_.SetSourceStatus("m", absl::NotFoundError("no such folder"));
  outcome.answered.WaitUntilOpen();
  EXPECT_EQ(outcome.status, absl::UnavailableError("model m cannot be loaded: no such folder"));
  EXPECT_EQ(ErrorNow(), outcome.status);
  manager_.SetSourceStatus("m", absl::FailedPreconditionError("version 1 is being copied"));
  EXPECT_EQ(ErrorNow(),
            absl::UnavailableError("model m is being loaded: version 1 is being copied"));
}

TEST_F(FirstLoadTest, WaitEndsAtTheDeadlineAndTheQueueIsBounded) {
  Manager manager({.demand_waiters_max = 1});
  ASSERT_EQ(manager.SetModel({.name = "m"}), OkStatus());
  Outcome first, second;
  const auto request = [&](Outcome& outcome, SteadyTime deadline) {
    return manager.AwaitFirstLoad(
        {.model = "m", .deadline = deadline, .done = [&outcome](Status status) {
           outcome.status = std::move(status);
           outcome.answered.Open();
         }});
  };
  ASSERT_TRUE(request(first, kNoDeadline));
  ASSERT_TRUE(request(second, kNoDeadline));
  EXPECT_EQ(second.status.code(), StatusCode::kUnavailable);
  manager.SetAspired("m", Aspire(FakeVersion(1, NewPlan())));
  first.answered.WaitUntilOpen();
  EXPECT_EQ(first.status, OkStatus());
  ASSERT_EQ(manager.SetModel({.name = "late"}), OkStatus());
  Outcome late;
  ASSERT_TRUE(manager.AwaitFirstLoad(
      {.model = "late", .deadline = SteadyTime(), .done = [&late](Status status) {
         late.status = std::move(status);
         late.answered.Open();
       }}));
  late.answered.WaitUntilOpen();
  EXPECT_EQ(late.status.code(), StatusCode::kDeadlineExceeded);
}

TEST_F(FirstLoadTest, RequestDoesNotWaitForAModelThatHasServed) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  AspireAndWait({});
  Outcome outcome;
  manager_.SetSourceStatus("m", absl::FailedPreconditionError("version 2 is being copied"));
  EXPECT_FALSE(Request(outcome));
  EXPECT_FALSE(manager_.AwaitFirstLoad({.model = "nobody", .done = [](const Status&) {}}));
  // One that was removed and added again is new.
  ASSERT_EQ(manager_.RemoveModel("m"), OkStatus());
  ASSERT_EQ(manager_.SetModel({.name = "m"}), OkStatus());
  EXPECT_TRUE(Request(outcome));
  manager_.SetAspired("m", Aspire(FakeVersion(1, NewPlan())));
  outcome.answered.WaitUntilOpen();
}

TEST_F(FirstLoadTest, RequestWaitsForAFirstVersionWhileAnotherServes) {
  ASSERT_EQ(manager_.SetModel({.name = "m", .labels = {{"stable", {1}}}}), OkStatus());
  const auto slow = NewPlan(), quick = NewPlan();
  slow->gate = &gate_;
  manager_.SetAspired("m", Aspire(FakeVersion(1, slow), FakeVersion(2, quick)));
  Outcome second, first, by_label;
  if (Request(second, VersionNumber{2})) second.answered.WaitUntilOpen();
  EXPECT_EQ(manager_.GetHandle("m")->id().version.value, 2);
  EXPECT_EQ(manager_.GetHandle("m", VersionNumber{1}).status(),
            absl::UnavailableError("model m is being loaded: try again later"));
  EXPECT_EQ(manager_.GetHandle("m", VersionNumber{7}).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(Request(first, VersionNumber{1}));
  ASSERT_TRUE(Request(by_label, std::nullopt, "stable"));
  gate_.Open();
  first.answered.WaitUntilOpen();
  by_label.answered.WaitUntilOpen();
  EXPECT_EQ(first.status, OkStatus());
  EXPECT_EQ(by_label.status, OkStatus());
  // A version that comes later is not there until it is loaded, as the one before answers.
  ASSERT_TRUE(manager_.WaitUntilIdle());
  FakeGate later;
  const auto third = NewPlan();
  third->gate = &later;
  manager_.SetAspired("m",
                      Aspire(FakeVersion(1, slow), FakeVersion(2, quick), FakeVersion(3, third)));
  EXPECT_EQ(manager_.GetHandle("m", VersionNumber{3}).status().code(), StatusCode::kNotFound);
  Outcome outcome;
  EXPECT_FALSE(Request(outcome, VersionNumber{3}));
  later.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());  // the load waits for the gate, which ends before manager_
}

// --- A reserve, and versions for labels.

AspiredVersion As(VersionRole role, AspiredVersion version) {
  version.role = role;
  return version;
}

TEST_F(FirstLoadTest, ReserveServesWhileTheNewestVersionCannotBeLoaded) {
  Manager manager({.load_retries_max = 0});
  ASSERT_EQ(manager.SetModel({.name = "m"}), OkStatus());
  const auto broken = NewPlan(), worse = NewPlan(), good = NewPlan(), spare = NewPlan();
  broken->failures_left = 1;
  worse->failures_left = 1;
  Outcome outcome;
  ASSERT_TRUE(manager.AwaitFirstLoad({.model = "m", .done = [&outcome](Status status) {
                                        outcome.status = std::move(status);
                                        outcome.answered.Open();
                                      }}));
  const auto report = [&](uint64_t revision) {
    AspiredVersion main = FakeVersion(4, broken);
    main.revision = revision;
    manager.SetAspired("m",
                       Aspire(As(VersionRole::kReserve, FakeVersion(1, spare)),
                              As(VersionRole::kReserve, FakeVersion(2, good)),
                              As(VersionRole::kReserve, FakeVersion(3, worse)), std::move(main)));
  };
  report(1);
  outcome.answered.WaitUntilOpen();
  EXPECT_EQ(outcome.status, OkStatus());
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(manager.GetHandle("m")->id().version.value, 2);
  // The status says so; of what is not needed it says nothing.
  const auto statuses = manager.VersionStatuses("m");
  ASSERT_EQ(statuses.size(), 3U);
  EXPECT_EQ(statuses[0].status, absl::DataLossError("broken file"));
  EXPECT_EQ(statuses[1].state, VersionState::kEnd);
  EXPECT_EQ(statuses[2].state, VersionState::kAvailable);
  EXPECT_EQ(spare->loads, 0);
  // It is mended.
  report(2);
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(manager.GetHandle("m")->id().version.value, 4);
  EXPECT_EQ(good->alive, 0);
  // What is ready is no reason to load a reserve.
  manager.SetAspired("m", Aspire(As(VersionRole::kReserve, FakeVersion(4, broken)),
                                 AspiredVersion{VersionNumber{5}, absl::NotFoundError("empty")}));
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(manager.GetHandle("m")->id().version.value, 4);
  EXPECT_EQ(good->loads, 1);
}

TEST_F(FirstLoadTest, VersionForALabelServesOnlyThatLabel) {
  ASSERT_EQ(manager_.SetModel({.name = "m", .labels = {{"canary", {5}}}}), OkStatus());
  AspireAndWait(
      Aspire(FakeVersion(3, NewPlan()), As(VersionRole::kLabel, FakeVersion(5, NewPlan()))));
  EXPECT_EQ(Serving(), 3);
  EXPECT_EQ(manager_.GetHandleByLabel("m", "canary")->id().version.value, 5);
  EXPECT_EQ(manager_.GetHandle("m", VersionNumber{5})->id().version.value, 5);
  AspireAndWait(Aspire(FakeVersion(3, NewPlan()), FakeVersion(5, NewPlan())));
  EXPECT_EQ(Serving(), 5);
  AspireAndWait(
      Aspire(FakeVersion(3, NewPlan()), As(VersionRole::kLabel, FakeVersion(5, NewPlan()))));
  EXPECT_EQ(Serving(), 3);
}

// --- Readiness.

ManagerOptions WithRule(ReadinessRule::Kind kind) { return {.readiness = {kind}}; }

TEST(StartReadinessTest, NewModelThatFailsDoesNotMakeAReadyManagerUnready) {
  for (const bool is_strict : {false, true}) {
    Manager manager(
        WithRule(is_strict ? ReadinessRule::Kind::kEveryModel : ReadinessRule::Kind::kAllModels));
    ASSERT_EQ(manager.SetModels({{.name = "a"}}), OkStatus());
    EXPECT_FALSE(manager.IsReady());
    EXPECT_TRUE(manager.IsModelStarting("a"));
    manager.SetAspired("a", Aspire(FakeVersion(1, NewPlan())));
    ASSERT_TRUE(manager.WaitUntilIdle());
    EXPECT_TRUE(manager.IsReady());
    EXPECT_FALSE(manager.IsModelStarting("a"));
    ASSERT_EQ(manager.SetModels({{.name = "a"}, {.name = "b"}}), OkStatus());
    manager.SetSourceStatus("b", absl::NotFoundError("no such folder"));
    EXPECT_EQ(manager.IsReady(), !is_strict);
    EXPECT_FALSE(manager.IsModelEstablished("b"));
    EXPECT_FALSE(manager.IsModelStarting("b"));
    // From when it has served it counts.
    manager.SetAspired("b", Aspire(FakeVersion(1, NewPlan())));
    ASSERT_TRUE(manager.WaitUntilIdle());
    EXPECT_TRUE(manager.IsReady());
    manager.SetAspired("b", {});
    EXPECT_FALSE(manager.IsReady());
    EXPECT_TRUE(manager.IsModelEstablished("b"));
    // What was of the start, and has served, is not starting however it fares.
    manager.SetAspired("a", {});
    EXPECT_FALSE(manager.IsModelStarting("a"));
  }
}

TEST(StartReadinessTest, ModelsBelongToTheStartUntilTheManagerWasReadyWithOne) {
  Manager manager;
  ASSERT_EQ(manager.SetModels({}), OkStatus());
  EXPECT_TRUE(manager.IsReady());
  ASSERT_EQ(manager.SetModels({{.name = "a"}}), OkStatus());
  EXPECT_FALSE(manager.IsReady());
  ASSERT_EQ(manager.SetModels({{.name = "b"}}), OkStatus());
  EXPECT_FALSE(manager.IsReady());
  EXPECT_TRUE(manager.IsModelStarting("b"));
  manager.SetAspired("b", Aspire(FakeVersion(1, NewPlan())));
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.IsReady());
}

}  // namespace
}  // namespace penstock::core
