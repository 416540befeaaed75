// SPDX-License-Identifier: Apache-2.0
#include "models/model_wait.h"

#include <gtest/gtest.h>

#include <utility>

#include "core/loader_fake.h"

namespace penstock {
namespace {

using core::Aspire;
using core::FakePlan;
using core::FakeVersion;

// Version 1 of "m" serves; version 2 could not be loaded, and is not wanted any more when it is
// pinned.
class ModelWaitTest : public testing::Test {
 protected:
  ModelWaitTest() {
    EXPECT_EQ(manager_.SetModel({.name = "m"}), OkStatus());
    plan_->failures_left = 1;
    manager_.SetAspired("m", Aspire(First(), Second()));
    EXPECT_TRUE(manager_.WaitUntilIdle());
    manager_.SetAspired("m", Aspire(First()));
    EXPECT_TRUE(manager_.WaitUntilIdle());
    EXPECT_EQ(manager_.VersionStatuses("m").at(0).state, core::VersionState::kEnd);
    EXPECT_FALSE(manager_.VersionStatuses("m").at(0).status.ok());
  }

  static core::AspiredVersion First() { return FakeVersion(1, std::make_shared<FakePlan>()); }
  core::AspiredVersion Second() const { return FakeVersion(2, plan_); }
  ModelWait PinnedSince(std::chrono::system_clock::time_point since) {
    AwaitedModels awaited;
    awaited.names = {"m"};
    awaited.pinned["m"] = {2};
    awaited.since = since;
    return {std::move(awaited), manager_};
  }

  const std::shared_ptr<FakePlan> plan_ = std::make_shared<FakePlan>();
  core::Manager manager_{{.load_retries_max = 0}};
};

// The time to come stands for the moments in which the source does not know of the pin yet.
TEST_F(ModelWaitTest, AnEarlierFailureIsNoAnswerBeforeTheSourceCanHaveTold) {
  ModelWait wait = PinnedSince(std::chrono::system_clock::now() + std::chrono::hours(1));
  EXPECT_FALSE(wait.IsSettled());
  EXPECT_EQ(wait.WhatIsMissing(/*is_late=*/true).code(), StatusCode::kDeadlineExceeded);
  manager_.SetAspired("m", Aspire(Second()));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_TRUE(wait.IsSettled());
  EXPECT_EQ(wait.WhatIsMissing(/*is_late=*/false), OkStatus());
}

TEST_F(ModelWaitTest, AFailureSinceThenIsTheAnswer) {
  ModelWait wait = PinnedSince(std::chrono::system_clock::now() - std::chrono::hours(1));
  EXPECT_TRUE(wait.IsSettled());
  EXPECT_EQ(wait.WhatIsMissing(/*is_late=*/false).code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace penstock
