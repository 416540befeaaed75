// SPDX-License-Identifier: Apache-2.0
// Versions that somebody holds, renews, or finds something wrong with.
#include <gtest/gtest.h>

#include "core/manager.h"
#include "core/manager_fixture.h"

namespace penstock::core {
namespace {

using ManagerHoldTest = ManagerTest;

TEST_F(ManagerHoldTest, AHeldVersionStaysBesideTheNewOneUntilTheEndOfTheHold) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  const uint64_t hold = manager_.Hold({"m", {1}});
  AspireAndWait(Aspire(FakeVersion(2, NewPlan())));
  EXPECT_EQ(Serving(), 2);
  EXPECT_TRUE(manager_.GetHandle("m", VersionNumber{1}).ok());
  manager_.EndHold("m", hold);
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_FALSE(manager_.GetHandle("m", VersionNumber{1}).ok());
  EXPECT_EQ(Serving(), 2);
  manager_.EndHold("m", hold);  // it is over
  manager_.EndHold("nobody", 7);
  EXPECT_EQ(manager_.Hold({"nobody", {1}}), 0U);
}

TEST_F(ManagerHoldTest, RequestsDoNotGetAHeldVersionThatIsHigher) {
  AspireAndWait(Aspire(FakeVersion(5, NewPlan())));
  manager_.Hold({"m", {5}});
  AspireAndWait(Aspire(FakeVersion(2, NewPlan())));
  EXPECT_EQ(Serving(), 2);
  EXPECT_TRUE(manager_.GetHandle("m", VersionNumber{5}).ok());
  // Wanted again, it was never unloaded.
  journal_.Take();
  AspireAndWait(Aspire(FakeVersion(5, NewPlan())));
  EXPECT_EQ(Serving(), 5);
  EXPECT_EQ(journal_.Take(), (Lines{"m/2 UNLOADING", "m/2 END"}));
}

TEST_F(ManagerHoldTest, AHoldDoesNotKeepTheLastVersion) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  manager_.Hold({"m", {1}});
  AspireAndWait({});
  EXPECT_EQ(Serving(), 0);
}

TEST_F(ManagerHoldTest, ThePolicyForOneVersionInMemoryGoesFirst) {
  ASSERT_TRUE(manager_.SetModel({.name = "m", .policy = &ResourcePreservingPolicy()}).ok());
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  manager_.Hold({"m", {1}});
  AspireAndWait(Aspire(FakeVersion(2, NewPlan())));
  EXPECT_EQ(Serving(), 2);
  EXPECT_FALSE(manager_.GetHandle("m", VersionNumber{1}).ok());
}

TEST_F(ManagerHoldTest, ALeaseEndsUnlessItIsProlonged) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  manager_.Lease({"m", {1}}, std::chrono::hours(1));
  manager_.Lease({"m", {1}}, std::chrono::milliseconds(1));  // it stays the longer one
  manager_.Lease({"m", {7}}, std::chrono::hours(1));         // there is none
  AspireAndWait(Aspire(FakeVersion(2, NewPlan())));
  EXPECT_EQ(Serving(), 2);
  EXPECT_TRUE(manager_.GetHandle("m", VersionNumber{1}).ok());
  AspireAndWait(Aspire(FakeVersion(3, NewPlan())));
  EXPECT_FALSE(manager_.GetHandle("m", VersionNumber{2}).ok());
  manager_.Lease({"m", {3}}, std::chrono::milliseconds(20));
  AspireAndWait(Aspire(FakeVersion(4, NewPlan())));
  EXPECT_TRUE(manager_.WaitFor([&] { return !manager_.GetHandle("m", VersionNumber{3}).ok(); }));
  EXPECT_EQ(Serving(), 4);
  EXPECT_TRUE(manager_.GetHandle("m", VersionNumber{1}).ok());
}

TEST_F(ManagerHoldTest, ARenewedVersionIsReplacedWithoutAGap) {
  const auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  {
    const Handle before = *manager_.GetHandle("m");
    journal_.Take();
    ASSERT_TRUE(manager_.Renew({"m", {1}}).ok());
    EXPECT_EQ(journal_.Take(), Lines{"m/1 AVAILABLE"});
    const Handle after = *manager_.GetHandle("m");
    EXPECT_NE(&before.servable(), &after.servable());
  }
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 2);
  EXPECT_EQ(Serving(), 1);
  EXPECT_TRUE(journal_.Take().empty());
}

TEST_F(ManagerHoldTest, ARenewalThatFailsChangesNothing) {
  const auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  plan->failures_left = 1;
  journal_.Take();
  EXPECT_FALSE(manager_.Renew({"m", {1}}).ok());
  EXPECT_EQ(Serving(), 1);
  EXPECT_TRUE(journal_.Take().empty());
  EXPECT_TRUE(manager_.Renew({"m", {1}}).ok());
  EXPECT_EQ(manager_.Renew({"m", {2}}).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(manager_.Renew({"nobody", {1}}).code(), StatusCode::kFailedPrecondition);
}

TEST_F(ManagerHoldTest, AVersionThatCannotAnswerIsNotReadyAndSaysWhy) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan())));
  const Status problem = absl::UnavailableError("a step is missing");
  manager_.NoteProblem({"m", {1}}, problem, /*can_answer=*/true);
  EXPECT_EQ(StatusOf(1).state, VersionState::kAvailable);
  EXPECT_EQ(StatusOf(1).status, problem);
  EXPECT_EQ(manager_.CanModelAnswer("m"), true);
  manager_.NoteProblem({"m", {1}}, problem, /*can_answer=*/false);
  EXPECT_EQ(manager_.CanModelAnswer("m"), false);
  EXPECT_EQ(manager_.IsModelReady("m"), true);
  EXPECT_TRUE(manager_.IsReady());
  manager_.NoteProblem({"m", {1}}, OkStatus(), /*can_answer=*/true);
  EXPECT_EQ(manager_.CanModelAnswer("m"), true);
  EXPECT_TRUE(StatusOf(1).status.ok());
  manager_.NoteProblem({"m", {2}}, problem, /*can_answer=*/false);
  manager_.NoteProblem({"nobody", {1}}, problem, /*can_answer=*/false);
  EXPECT_EQ(manager_.CanModelAnswer("nobody"), std::nullopt);
}

}  // namespace
}  // namespace penstock::core
