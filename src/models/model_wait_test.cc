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
  void Report(core::AspiredVersion version, uint64_t generation) {
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
  Report(First(), generation_ - 1);
  manager_.SetSourceStatus("m", absl::UnavailableError("no answer"), generation_ - 1);
  EXPECT_EQ(wait.Outcome(false), std::nullopt);
  Report(Second(), generation_);
  EXPECT_EQ(wait.Outcome(false), OkStatus());
}

TEST_F(ModelWaitTest, AFailureSinceThenIsTheAnswer) {
  ModelWait wait = Pinned();
  plan_->failures_left = 1;
  Report(Second(), generation_);
  EXPECT_EQ(CodeOf(wait.Outcome(false)), StatusCode::kFailedPrecondition);
}

TEST_F(ModelWaitTest, AVersionThatTheSourceDoesNotHaveIsTheAnswer) {
  ModelWait wait = Pinned();
  manager_.SetSourceStatus("m", absl::FailedPreconditionError("2 is being copied"), generation_);
  Report(First(), generation_);
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

// The outcome at every moment is either "under way" or the error: no reload may be answered OK
// because the former version still serves when the source has reported only half of its findings.
TEST_F(ModelWaitTest, AListThatSelectsNoVersionIsAnErrorAndTheModelGoesOnServing) {
  ASSERT_EQ(manager_.SetModel({.name = "m", .generation = ++generation_}), OkStatus());
  ModelWait wait({.names = {"m"}, .labels = {}, .pinned = {}}, manager_);
  std::vector<std::optional<Status>> outcomes;
  const int listener = manager_.AddListener(
      [&](const core::ManagerEvent&) { outcomes.push_back(wait.Outcome(false)); });
  EXPECT_EQ(wait.Outcome(false), std::nullopt);
  core::SourceReport report;
  report.versions.emplace();
  report.status = absl::NotFoundError("none of the wanted versions is in /m");
  manager_.Report("m", std::move(report), generation_);
  ASSERT_TRUE(manager_.WaitUntilIdle());
  manager_.RemoveListener(listener);
  const Status error = absl::UnknownError(
      "1 model(s) did not become available: {m: none of the wanted versions is in /m; the versions "
      "that served go on serving}");
  ASSERT_FALSE(outcomes.empty());
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome, error);
  EXPECT_EQ(wait.Outcome(false), error);
  EXPECT_EQ(manager_.GetHandle("m")->id().version.value, 1);
}

TEST_F(ModelWaitTest, AnUnreachableSourceIsNoErrorForAModelThatStaysAsItIs) {
  const core::ModelConfig same{.name = "m", .generation = generation_, .same_since = generation_};
  ASSERT_EQ(manager_.SetModel(same), OkStatus());
  Report(First(), generation_);
  core::ModelConfig next = same;
  next.generation = ++generation_;
  ASSERT_EQ(manager_.SetModel(next), OkStatus());
  ModelWait wait({.names = {"m"}, .labels = {}, .pinned = {}}, manager_);
  manager_.SetSourceStatus("m", absl::UnavailableError("no answer"), generation_);
  EXPECT_EQ(wait.Outcome(false), OkStatus());
  // Other versions are wanted, and the source cannot tell whether they exist.
  next.generation = next.same_since = ++generation_;
  ASSERT_EQ(manager_.SetModel(next), OkStatus());
  ModelWait other({.names = {"m"}, .labels = {}, .pinned = {}}, manager_);
  manager_.SetSourceStatus("m", absl::UnavailableError("no answer"), generation_);
  EXPECT_EQ(CodeOf(other.Outcome(false)), StatusCode::kUnknown);
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
