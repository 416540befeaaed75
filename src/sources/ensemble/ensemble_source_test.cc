// SPDX-License-Identifier: Apache-2.0
#include "sources/ensemble/ensemble_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/loader_fake.h"

namespace penstock {
namespace {

using testing::HasSubstr;

core::ComposedVersion::Part Part(const std::string& model,
                                 std::optional<core::VersionNumber> version = std::nullopt,
                                 const std::string& label = "") {
  return {"step '" + model + "'", model, version, label};
}

core::ComposedVersion Needs(std::vector<core::ComposedVersion::Part> parts) {
  return {.revision = 1, .parts = std::move(parts)};
}

core::SourceModel Ensemble(std::map<core::VersionNumber, core::ComposedVersion> versions) {
  core::SourceModel model;
  model.name = "e";
  model.base_path = "ensemble:";
  model.composed = std::move(versions);
  return model;
}

class EnsembleSourceTest : public testing::Test {
 protected:
  // The models "a", "b" and the ensemble "e", whose source reports from now on.
  void Start(core::SourceModel ensemble) {
    ASSERT_TRUE(manager_
                    .SetModels({{.name = "a", .labels = {{"stable", {2}}}},
                                {.name = "b"},
                                {.name = "e", .generation = 1}})
                    .ok());
    ensemble.generation = 1;
    ASSERT_TRUE(source_.SetModels({std::move(ensemble)}).ok());
    source_.Start(manager_);
  }
  void Report(const std::string& model, std::vector<int64_t> versions) {
    std::vector<core::AspiredVersion> aspired;
    for (const int64_t version : versions)
      aspired.push_back(
          {{version}, std::make_unique<core::FakeLoader>(std::make_shared<core::FakePlan>())});
    manager_.SetAspired(model, std::move(aspired));
    manager_.WaitUntilIdle();
  }
  core::ModelStatus StatusOfEnsemble() {
    manager_.WaitUntilIdle();
    return *manager_.StatusOf("e");
  }
  // The version of the ensemble that requests get; -1: none.
  int64_t Ready() {
    manager_.WaitUntilIdle();
    const auto handle = manager_.GetHandle("e");
    return handle.ok() ? handle->id().version.value : -1;
  }

  std::shared_ptr<core::FakePlan> plan_ = std::make_shared<core::FakePlan>();
  core::Manager manager_{{.load_retries_max = 0}};
  EnsembleSource source_{&manager_, [this](const core::ServableId&, const std::string& path) {
                           EXPECT_EQ(path, "ensemble:");
                           return std::make_unique<core::FakeLoader>(plan_);
                         }};
};

TEST_F(EnsembleSourceTest, WaitsForAllModelsOfTheSteps) {
  Start(Ensemble({{{1}, Needs({Part("a"), Part("b")})}}));
  core::ModelStatus status = StatusOfEnsemble();
  EXPECT_EQ(status.source_status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(status.source_status.message()),
      HasSubstr("the ensemble waits for the models of its steps: step 'a': model a is being "
                "loaded: try again later; step 'b': "));
  EXPECT_FALSE(status.has_report);
  Report("a", {1});
  EXPECT_EQ(Ready(), -1);
  EXPECT_THAT(StatusOfEnsemble().incomplete.at({1}), HasSubstr("step 'b': "));
  Report("b", {1});
  EXPECT_EQ(Ready(), 1);
  EXPECT_TRUE(StatusOfEnsemble().source_status.ok());
}

TEST_F(EnsembleSourceTest, AModelThatCannotBeLoadedIsAnError) {
  Start(Ensemble({{{1}, Needs({Part("a")})}}));
  auto plan = std::make_shared<core::FakePlan>();
  plan->failures_left = 1;
  std::vector<core::AspiredVersion> aspired;
  aspired.push_back({{1}, std::make_unique<core::FakeLoader>(plan)});
  manager_.SetAspired("a", std::move(aspired));
  const core::ModelStatus status = StatusOfEnsemble();
  EXPECT_EQ(status.source_status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(status.has_report);
  EXPECT_THAT(std::string(status.source_status.message()), HasSubstr("model a cannot be loaded"));
  Report("a", {2});
  EXPECT_EQ(Ready(), 1);
}

TEST_F(EnsembleSourceTest, StaysLoadedIfAModelGoes) {
  Start(Ensemble({{{1}, Needs({Part("a")})}}));
  Report("a", {1});
  EXPECT_EQ(Ready(), 1);
  Report("a", {});
  EXPECT_FALSE(manager_.GetHandle("a").ok());
  EXPECT_EQ(Ready(), 1);
}

TEST_F(EnsembleSourceTest, WaitsForTheVersionOrTheLabelThatAStepNames) {
  Start(Ensemble(
      {{{1}, Needs({Part("a", core::VersionNumber{3}), Part("a", std::nullopt, "stable")})}}));
  Report("a", {1});
  EXPECT_EQ(Ready(), -1);
  Report("a", {1, 3});
  EXPECT_EQ(Ready(), -1);
  Report("a", {1, 2, 3});
  EXPECT_EQ(Ready(), 1);
}

TEST_F(EnsembleSourceTest, AVersionThatWaitsLeavesTheOneBeforeInService) {
  core::SourceModel model = Ensemble({{{1}, Needs({Part("a")})}});
  Start(model);
  Report("a", {1});
  EXPECT_EQ(Ready(), 1);
  model.name = "e";
  model.base_path = "ensemble:";
  model.composed[{2}] = Needs({Part("a"), Part("b")});
  model.generation = 2;
  ASSERT_TRUE(manager_.SetModel({.name = "e", .generation = 2}).ok());
  ASSERT_TRUE(source_.SetModels({model}).ok());
  EXPECT_EQ(Ready(), 1);
  EXPECT_TRUE(StatusOfEnsemble().incomplete.contains({2}));
  Report("b", {1});
  EXPECT_EQ(Ready(), 2);
  EXPECT_FALSE(manager_.GetHandle("e", core::VersionNumber{1}).ok());
}

TEST_F(EnsembleSourceTest, AFailedLoadIsTriedAgainWhenAModelChanges) {
  plan_->failures_left = 1;
  Start(Ensemble({{{1}, Needs({Part("a")})}}));
  Report("a", {1});
  EXPECT_EQ(Ready(), -1);
  Report("a", {2});
  EXPECT_EQ(Ready(), 1);
}

TEST_F(EnsembleSourceTest, VersionsAreSelectedAsThoseInFolders) {
  core::SourceModel model =
      Ensemble({{{1}, Needs({Part("a")})}, {{2}, Needs({Part("a")})}, {{3}, Needs({Part("a")})}});
  model.selection = core::SpecificVersions{{{2}}};
  model.labelled = {{1}};
  Start(model);
  Report("a", {1});
  EXPECT_EQ(Ready(), 2);
  EXPECT_TRUE(manager_.GetHandle("e", core::VersionNumber{1}).ok());
  EXPECT_FALSE(manager_.GetHandle("e", core::VersionNumber{3}).ok());
  EXPECT_EQ(source_.HasVersion("e", "ensemble:", {3}), true);
  EXPECT_EQ(source_.HasVersion("e", "ensemble:", {4}), false);
  EXPECT_EQ(source_.HasVersion("f", "ensemble:", {4}), std::nullopt);
}

TEST_F(EnsembleSourceTest, ReportsNothingAfterItsEnd) {
  Start(Ensemble({{{1}, Needs({Part("a")})}}));
  source_.Stop();
  Report("a", {1});
  EXPECT_EQ(Ready(), -1);
}

}  // namespace
}  // namespace penstock
