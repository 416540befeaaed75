// SPDX-License-Identifier: Apache-2.0
#include "models/model_wait.h"

#include <gtest/gtest.h>

#include <optional>
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
  // The change is in force; its source has not reported it.
  ModelWait Pinned() {
    EXPECT_EQ(manager_.SetModel({.name = "m", .generation = ++generation_}), OkStatus());
    AwaitedModels awaited;
    awaited.names = {"m"};
    awaited.pinned["m"] = {2};
    return {std::move(awaited), manager_};
  }
  void Tell(core::AspiredVersion version, uint64_t generation) {
    manager_.SetAspired("m", Aspire(std::move(version)), generation);
    ASSERT_TRUE(manager_.WaitUntilIdle());
  }
  static StatusCode CodeOf(const std::optional<Status>& outcome) {
    return outcome ? outcome->code() : StatusCode::kCancelled;
  }

  const std::shared_ptr<FakePlan> plan_ = std::make_shared<FakePlan>();
  uint64_t generation_ = 1;
  core::Manager manager_{{.load_retries_max = 0}};
};

TEST_F(ModelWaitTest, EarlierFailureIsNoAnswerBeforeTheSourceReports) {
  ModelWait wait = Pinned();
  EXPECT_EQ(wait.Outcome(false), std::nullopt);
  EXPECT_EQ(CodeOf(wait.Outcome(/*is_late=*/true)), StatusCode::kDeadlineExceeded);
  // What the source found before it knew of the pin comes late.
  Tell(First(), generation_ - 1);
  manager_.SetSourceStatus("m", absl::UnavailableError("no answer"), generation_ - 1);
  EXPECT_EQ(wait.Outcome(false), std::nullopt);
  Tell(Second(), generation_);
  EXPECT_EQ(wait.Outcome(false), OkStatus());
}

TEST_F(ModelWaitTest, AFailureSinceThenIsTheAnswer) {
  ModelWait wait = Pinned();
  plan_->failures_left = 1;
  Tell(Second(), generation_);
  EXPECT_EQ(CodeOf(wait.Outcome(false)), StatusCode::kFailedPrecondition);
}

TEST_F(ModelWaitTest, AVersionThatTheSourceDoesNotHaveIsTheAnswer) {
  ModelWait wait = Pinned();
  manager_.SetSourceStatus("m", absl::FailedPreconditionError("2 is being copied"), generation_);
  Tell(First(), generation_);
  EXPECT_EQ(wait.Outcome(false), std::nullopt);
  manager_.SetSourceStatus("m", OkStatus(), generation_);
  const std::optional<Status> outcome = wait.Outcome(false);
  EXPECT_EQ(outcome,
            absl::FailedPreconditionError("model m is pinned to version 2, which could not be "
                                          "loaded: the model has no such version"));
}

TEST_F(ModelWaitTest, ASourceThatCannotTellIsTheAnswer) {
  ModelWait wait = Pinned();
  manager_.SetSourceStatus("m", absl::UnavailableError("no answer"), generation_);
  EXPECT_EQ(CodeOf(wait.Outcome(false)), StatusCode::kFailedPrecondition);
}

TEST_F(ModelWaitTest, AModelHasNotFailedWhileAnotherVersionOfItComes) {
  ASSERT_EQ(manager_.SetModel({.name = "other"}), OkStatus());
  ModelWait wait({.names = {"m", "other"}, .labels = {}, .pinned = {}}, manager_);
  core::FakeGate gate;
  auto slow = std::make_shared<FakePlan>();
  slow->gate = &gate;
  auto broken = std::make_shared<FakePlan>();
  broken->failures_left = 1;
  manager_.SetAspired("other", Aspire(FakeVersion(1, slow), FakeVersion(2, broken)));
  ASSERT_TRUE(manager_.WaitFor(
      [&] { return manager_.VersionStatuses("other")[0].state == core::VersionState::kEnd; }));
  EXPECT_EQ(wait.Outcome(false), std::nullopt);
  gate.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(wait.Outcome(false), OkStatus());
}

}  // namespace
}  // namespace penstock
