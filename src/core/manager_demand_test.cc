// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "core/manager_fixture.h"

namespace penstock::core {
namespace {

// A manager with a model on demand. One thread.
class DemandTest : public ManagerTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(manager_
                    .SetModel({.name = "m",
                               .labels = {{"stable", {1}}, {"lost", {7}}},
                               .load_mode = LoadMode::kOnDemand})
                    .ok());
  }
  // The answer that a request gets.
  struct Outcome {
    FakeGate answered;
    Status status;
  };
  void Request(Outcome& outcome, std::optional<VersionNumber> version,
               const std::string& label = "") {
    EXPECT_TRUE(manager_.LoadOnDemand(
        {.model = "m", .version = version, .label = label, .done = [&outcome](Status status) {
           outcome.status = std::move(status);
           outcome.answered.Open();
         }}));
  }
  Status Ask(std::optional<VersionNumber> version, const std::string& label = "") {
    Outcome outcome;
    Request(outcome, version, label);
    outcome.answered.WaitUntilOpen();
    return outcome.status;
  }
};

TEST_F(DemandTest, RequestForAnUnknownVersionLoadsNothing) {
  const auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan)));
  EXPECT_EQ(Ask(VersionNumber{7}),
            absl::NotFoundError(
                "Servable not found for request: Specific(m, 7): the model has version 1"));
  EXPECT_EQ(Ask(std::nullopt, "lost"),
            absl::UnavailableError(
                "label \"lost\" of model m waits for version 7: the model has version 1"));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 0);
  EXPECT_EQ(manager_.GetHandleByLabel("m", "unknown").status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_TRUE(Ask(std::nullopt, "stable").ok());
  EXPECT_EQ(plan->loads, 1);
}

TEST_F(DemandTest, RequestWaitsUntilTheSourceHasReported) {
  Outcome outcome;
  Request(outcome, VersionNumber{7});
  manager_.SetSourceStatus("m", absl::FailedPreconditionError("version 7 is being copied"));
  manager_.SetAspired("m", Aspire(FakeVersion(1, NewPlan())));
  EXPECT_TRUE(outcome.status.ok());  // still the initial one: there is no answer
  manager_.SetSourceStatus("m", OkStatus());
  outcome.answered.WaitUntilOpen();
  EXPECT_EQ(outcome.status.code(), StatusCode::kNotFound);
}

TEST_F(DemandTest, SourceErrorAnswersTheRequest) {
  manager_.SetSourceStatus("m", absl::NotFoundError("no such folder"));
  EXPECT_EQ(Ask(VersionNumber{7}),
            absl::UnavailableError("model m cannot be loaded: no such folder"));
}

// The test must not take a handle to see this, because that is a use.
TEST_F(DemandTest, IdleModelIsUnloaded) {
  ASSERT_TRUE(manager_
                  .SetModel({.name = "m",
                             .load_mode = LoadMode::kOnDemand,
                             .unload_after_idle = std::chrono::milliseconds(1)})
                  .ok());
  Outcome outcome;
  Request(outcome, std::nullopt);
  manager_.SetAspired("m", Aspire(FakeVersion(1, NewPlan())));
  outcome.answered.WaitUntilOpen();
  EXPECT_TRUE(outcome.status.ok());
  EXPECT_TRUE(manager_.WaitFor([&] { return manager_.IsModelReady("m") == false; }));
}

TEST_F(DemandTest, ModelThatBecomesOnDemandIsNotLoadedWithoutARequest) {
  const ModelConfig on_demand = {.name = "m", .load_mode = LoadMode::kOnDemand};
  const auto plan = NewPlan();
  manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(Ask(std::nullopt).ok());
  ASSERT_TRUE(manager_.SetModel({.name = "m", .load_mode = LoadMode::kNever}).ok());
  ASSERT_TRUE(manager_.SetModel(on_demand).ok());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 1);
  // Removed, and added again while its version is unloaded.
  ASSERT_TRUE(manager_.SetModel({.name = "m"}).ok());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 2);
  {
    const auto handle = manager_.GetHandle("m");
    ASSERT_TRUE(manager_.RemoveModel("m").ok());
    ASSERT_TRUE(manager_.SetModel(on_demand).ok());
    manager_.SetAspired("m", Aspire(FakeVersion(1, plan)));
  }
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 2);
}

TEST_F(DemandTest, RequestWaitsForItsVersionWhileAnotherIsReady) {
  auto first = NewPlan();
  first->gate = &gate_;
  manager_.SetAspired("m", Aspire(FakeVersion(1, first), FakeVersion(2, NewPlan())));
  Outcome outcome;
  Request(outcome, VersionNumber{1});
  EXPECT_TRUE(Ask(VersionNumber{2}).ok());
  EXPECT_FALSE(manager_.GetHandle("m", VersionNumber{1}).ok());
  gate_.Open();
  outcome.answered.WaitUntilOpen();
  EXPECT_TRUE(outcome.status.ok());
  EXPECT_TRUE(manager_.GetHandle("m", VersionNumber{1}).ok());
}

TEST_F(DemandTest, FailedVersionAnswersItsReasonWhileAnotherIsReady) {
  auto broken = NewPlan();
  broken->failures_left = 1000;
  manager_.SetAspired("m", Aspire(FakeVersion(1, NewPlan()), FakeVersion(2, broken)));
  EXPECT_EQ(Ask(VersionNumber{2}), absl::UnavailableError("model m cannot be loaded: broken file"));
  EXPECT_TRUE(Ask(VersionNumber{1}).ok());
}

}  // namespace
}  // namespace penstock::core
