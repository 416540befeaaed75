// SPDX-License-Identifier: Apache-2.0
#include "ensemble/step_versions.h"

#include <gmock/gmock.h>

#include "ensemble/ensemble_fixture.h"

namespace penstock::ensemble {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// x -> one (+1) -> t -> two (+2) -> y, as the ensemble "e".
class StepVersionsTest : public EnsembleFixture {
 protected:
  void SetUp() override {
    ServeAdder("one", 1);
    ServeAdder("two", 2);
    ASSERT_TRUE(ServeGraph(Chain()).ok());
  }
  static Graph Chain() {
    return {.inputs = {"x"},
            .outputs = {"y"},
            .steps = {MakeStep("one", "x", "t"), MakeStep("two", "t", "y")}};
  }
  // A version whose input has another name, so that no step fits it.
  void ServeMisfit(const std::string& name, int version) {
    Serve(
        name, VectorInfo({"other"}, {"y"}), [](const InferRequest&, ResponseCallback) {}, version);
  }
  // A version that gives `answer`, and always so many elements.
  void ServeFixed(const std::string& name, std::vector<int64_t> answer, int version) {
    ModelInfo info = VectorInfo({"x"}, {"y"});
    info.signatures[0].outputs[0].shape = {static_cast<int64_t>(answer.size())};
    const auto run = [answer](const InferRequest&, ResponseCallback done) {
      InferResponse response;
      response.outputs.push_back({"y", MakeVector(answer)});
      done(std::move(response));
    };
    const core::VersionNumber number{version};
    std::vector<core::AspiredVersion> versions;
    versions.push_back(
        {number, std::make_unique<FakeModelLoader>(
                     core::ServableId{name, number},
                     [=] { return std::make_unique<FakeModel>(info, run); }, metrics_)});
    manager_.SetAspired(name, std::move(versions));
  }
  // Waits until clients see that the output of the ensemble has this shape.
  bool WaitForShape(const std::string& name, const Shape& shape) {
    return manager_.WaitFor([&] {
      const ModelHandle handle = *engine_.Find({.name = name, .version = {}, .label = {}});
      return handle.info().signatures[0].outputs[0].shape == shape;
    });
  }
  // The answer for 1.
  std::vector<int64_t> Answer() {
    Send({{"x", MakeVector({1})}});
    RunQueued();
    return Output("y");
  }
  Status Refusal() {
    Send({{"x", MakeVector({1})}});
    return Error();
  }
  core::VersionStatus StatusOf(const std::string& name, int64_t number = 1) {
    for (const core::VersionStatus& status : manager_.VersionStatuses(name)) {
      if (status.id.version.value == number) return status;
    }
    return {};
  }
  // As "one 1".
  std::vector<std::string> Steps() {
    std::vector<std::string> list;
    const ModelHandle handle = *engine_.Find({.name = "e", .version = {}, .label = {}});
    for (const ModelStep& step : handle.info().steps->List())
      list.push_back(step.model + " " + (step.version ? std::to_string(step.version->value) : "-"));
    return list;
  }
};

TEST_F(StepVersionsTest, ANewVersionTakesPartAtOnceAndTheOldOneIsUnloaded) {
  ServeAdder("two", 20, 2);
  EXPECT_EQ(Answer(), std::vector<int64_t>{22});
  handle_.reset();
  manager_.WaitUntilIdle();
  EXPECT_EQ(StatusOf("two").state, core::VersionState::kEnd);
  EXPECT_THAT(Steps(), ElementsAre("one 1", "two 2"));
}

TEST_F(StepVersionsTest, StepsKeepTheVersionThatFitsWhenANewOneDoesNot) {
  ServeMisfit("two", 2);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Answer(), std::vector<int64_t>{4});
  EXPECT_EQ(StatusOf("two", 1).state, core::VersionState::kAvailable);
  EXPECT_EQ(manager_.GetHandle("two")->id().version.value, 2);
  EXPECT_EQ(StatusOf("e").status,
            absl::UnavailableError(
                "the steps go on with two version 1: the steps do not fit each other with one "
                "version 1, two version 2: step 'two', input 'x': signature 'serving_default' of "
                "model two has no such input, only 'other'"));
  EXPECT_EQ(StatusOf("e").state, core::VersionState::kAvailable);
  EXPECT_EQ(manager_.CanModelAnswer("e"), true);
  EXPECT_THAT(Steps(), ElementsAre("one 1", "two 1"));
  ServeAdder("two", 3, 3);
  EXPECT_EQ(Answer(), std::vector<int64_t>{5});
  EXPECT_TRUE(StatusOf("e").status.ok());
  handle_.reset();
  manager_.WaitUntilIdle();
  EXPECT_EQ(StatusOf("two", 1).state, core::VersionState::kEnd);
}

TEST_F(StepVersionsTest, AModelThatGoesBackNeedsNoLoad) {
  ServeMisfit("two", 2);
  ServeAdder("two", 2, 1);
  EXPECT_EQ(Answer(), std::vector<int64_t>{4});
  EXPECT_TRUE(StatusOf("e").status.ok());
  EXPECT_EQ(StatusOf("two", 2).state, core::VersionState::kEnd);
}

TEST_F(StepVersionsTest, OneBadVersionDoesNotKeepTheOtherModelsFromChanging) {
  ServeMisfit("two", 2);
  ServeAdder("one", 10, 2);
  EXPECT_EQ(Answer(), std::vector<int64_t>{13});
  EXPECT_THAT(Steps(), ElementsAre("one 2", "two 1"));
  EXPECT_EQ(StatusOf("one", 1).state, core::VersionState::kEnd);
}

TEST_F(StepVersionsTest, WithoutAVersionThatFitsItIsNotReadyAndSaysWhy) {
  ASSERT_TRUE(manager_.SetModel({.name = "two", .policy = &core::ResourcePreservingPolicy()}).ok());
  std::vector<core::AspiredVersion> versions;
  versions.push_back({{2},
                      std::make_unique<FakeModelLoader>(
                          core::ServableId{"two", {2}},
                          [] {
                            return std::make_unique<FakeModel>(
                                VectorInfo({"other"}, {"y"}),
                                [](const InferRequest&, ResponseCallback) {});
                          },
                          metrics_)});
  manager_.SetAspired("two", std::move(versions));
  manager_.WaitUntilIdle();
  EXPECT_EQ(StatusOf("two", 1).state, core::VersionState::kEnd);
  const Status refusal = Refusal();
  EXPECT_EQ(refusal.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("do not fit each other with one version 1, "
                                                        "two version 2: step 'two', input 'x'"));
  EXPECT_EQ(StatusOf("e").status, refusal);
  EXPECT_EQ(manager_.CanModelAnswer("e"), false);
  EXPECT_THAT(Steps(), ElementsAre("one -", "two -"));
}

TEST_F(StepVersionsTest, AModelThatIsGoneMakesItNotReadyUntilItComesBack) {
  ASSERT_TRUE(manager_.RemoveModel("two").ok());
  EXPECT_EQ(Refusal(),
            absl::UnavailableError("step 'two': Servable not found for request: Latest(two)"));
  EXPECT_EQ(StatusOf("e").status, Error());
  EXPECT_EQ(manager_.CanModelAnswer("e"), false);
  manager_.WaitUntilIdle();
  ServeAdder("two", 5);
  EXPECT_EQ(manager_.CanModelAnswer("e"), true);
  EXPECT_TRUE(StatusOf("e").status.ok());
  EXPECT_EQ(Answer(), std::vector<int64_t>{7});
}

TEST_F(StepVersionsTest, IsRenewedWithoutAFailedRequestIfClientsSeeOtherTensors) {
  int broken = 0;
  const int listener = manager_.AddListener([&](const core::ManagerEvent& event) {
    if (event.model == "e" && event.version &&
        event.version->state != core::VersionState::kAvailable)
      ++broken;
  });
  // A request that has found the ensemble, but has not started.
  const ModelHandle before = *engine_.Find({.name = "e", .version = {}, .label = {}});
  ServeFixed("two", {8, 9}, 2);
  ASSERT_TRUE(WaitForShape("e", {2}));
  EXPECT_EQ(before.info().signatures[0].outputs[0].shape, (Shape{-1}));
  EXPECT_EQ(Answer(), (std::vector<int64_t>{8, 9}));
  std::vector<int64_t> old;
  engine_.Run(before, request_, /*may_run_inline=*/false, [&](InferResponse&& response) {
    ASSERT_TRUE(response.status.ok()) << response.status;
    old = ValuesOf(response.outputs[0].tensor);
  });
  RunQueued();
  EXPECT_EQ(old, std::vector<int64_t>{4});
  manager_.RemoveListener(listener);
  EXPECT_EQ(broken, 0);
  EXPECT_TRUE(StatusOf("e").status.ok());
}

TEST_F(StepVersionsTest, ANestedEnsembleFollowsTheOneInIt) {
  Graph outer = Chain();
  outer.steps[0].model.name = "e";
  ASSERT_TRUE(ServeGraph(outer, "outer").ok());
  ServeFixed("two", {8, 9}, 2);
  ASSERT_TRUE(WaitForShape("outer", {2}));
  const ModelHandle handle = *engine_.Find({.name = "outer", .version = {}, .label = {}});
  request_.inputs.clear();
  request_.inputs.push_back({"x", MakeVector({1})});
  Status status = absl::UnknownError("no answer");
  engine_.Run(handle, request_, false, [&](InferResponse&& part) { status = part.status; });
  RunQueued();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(StepVersionsTest, HoldsNothingWhenItIsGone) {
  ServeMisfit("two", 2);
  EXPECT_EQ(StatusOf("two", 1).state, core::VersionState::kAvailable);
  ASSERT_TRUE(manager_.RemoveModel("e").ok());
  manager_.WaitUntilIdle();
  EXPECT_EQ(StatusOf("two", 1).state, core::VersionState::kEnd);
}

}  // namespace
}  // namespace penstock::ensemble
