// SPDX-License-Identifier: Apache-2.0
// Versions that break while they serve.
#include <gtest/gtest.h>

#include "core/manager_fixture.h"

namespace penstock::core {
namespace {

using ManagerBrokenTest = ManagerTest;

// Reports the servable of `handle` broken.
void Break(const Handle& handle, std::string_view why = "GPU fell off") {
  static_cast<FakeServable&>(handle.servable()).Break(Error(StatusCode::kInternal, "{}", why));
}

TEST_F(ManagerBrokenTest, BrokenVersionIsTakenFromServiceAndLoadedAgain) {
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
  EXPECT_EQ(journal_.Take(), (Lines{"m/1 UNLOADING", "m/1 START", "m/1 LOADING", "m/1 AVAILABLE"}));
}

TEST_F(ManagerBrokenTest, VersionAspiredAgainWhileItServedIsReloadedWhenItBreaks) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  auto broken = NewPlan();
  broken->failures_left = 1000;
  AspireAndWait(Aspire(FakeVersion(2, broken)));  // version 1 stays, unwanted
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  Break(*manager_.GetHandle("m"));
  EXPECT_TRUE(manager_.WaitFor([&] { return plan->loads == 2 && Serving() == 1; }));
}

TEST_F(ManagerBrokenTest, NewestLoaderReloadsABrokenVersion) {
  auto old_files = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, old_files)));
  auto new_files = NewPlan();
  AspiredVersion changed = FakeVersion(1, new_files);
  changed.revision = 1;
  AspireAndWait(Aspire(std::move(changed)));
  EXPECT_EQ(new_files->loads, 0);  // what serves stays
  Break(*manager_.GetHandle("m"));
  EXPECT_TRUE(manager_.WaitFor([&] { return new_files->loads == 1 && Serving() == 1; }));
  EXPECT_EQ(old_files->loads, 1);
}

TEST_F(ManagerBrokenTest, BrokenVersionDoesNotAffectOthers) {
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

TEST_F(ManagerBrokenTest, VersionThatKeepsBreakingUsesUpItsRetries) {
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
  EXPECT_EQ(manager.GetHandle("m").status(),
            absl::UnavailableError("model m cannot be loaded: it has no version"));
  plan->breaks_at_once = false;
  manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.GetHandle("m").ok());
}

TEST_F(ManagerBrokenTest, VersionThatBreaksAfterServingLongIsAlwaysReloaded) {
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

TEST_F(ManagerBrokenTest, BrokenReportOfAnEarlierLoadIsIgnored) {
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

TEST_F(ManagerBrokenTest, BrokenVersionThatIsNoLongerAspiredIsNotReloaded) {
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

TEST_F(ManagerBrokenTest, VersionMayBreakWhileItsModelIsRemoved) {
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

}  // namespace
}  // namespace penstock::core
