// SPDX-License-Identifier: Apache-2.0
#include "models/ensemble_list.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

ConfiguredModel PlainModel(const std::string& name) {
  ConfiguredModel model;
  model.name = name;
  return model;
}

// An ensemble of these models, each a step.
ConfiguredModel EnsembleOf(const std::string& name, const std::vector<std::string>& models) {
  ConfiguredModel model = PlainModel(name);
  ensemble::Graph& graph = model.ensembles.emplace_back();
  for (const std::string& step : models)
    graph.steps.push_back({.name = "run " + step, .model = {.name = step}});
  return model;
}

std::string ListFault(const std::vector<ConfiguredModel>& models) {
  return std::string(CheckEnsembles(models, "file").message());
}

TEST(EnsembleListTest, StepsMayBeModelsAndEnsembles) {
  EXPECT_EQ(ListFault({}), "");
  EXPECT_EQ(ListFault({EnsembleOf("e", {"m", "n"}), PlainModel("m"), PlainModel("n")}), "");
  EXPECT_EQ(ListFault({EnsembleOf("e", {"f", "f", "m"}), PlainModel("m"), EnsembleOf("f", {"m"})}),
            "");
}

TEST(EnsembleListTest, FaultsAreNamedWithTheWayToThem) {
  EXPECT_EQ(ListFault({EnsembleOf("e", {"f"}), EnsembleOf("f", {"m"})}),
            "file: model 'e' version 1, step 'run f' -> model 'f' version 1, step 'run m': there "
            "is no model 'm' in the list");
  ConfiguredModel on_demand = PlainModel("m");
  on_demand.load_mode = core::LoadMode::kOnDemand;
  EXPECT_EQ(ListFault({EnsembleOf("e", {"m"}), on_demand}),
            "file: model 'e' version 1, step 'run m': model 'm' is loaded on demand, which a step "
            "cannot be");
  EXPECT_EQ(ListFault({EnsembleOf("e", {"e"})}),
            "file: model 'e' version 1, step 'run e': ensemble 'e' contains itself");
  EXPECT_EQ(ListFault({EnsembleOf("e", {"f"}), EnsembleOf("f", {"e"})}),
            "file: model 'e' version 1, step 'run f' -> model 'f' version 1, step 'run e': "
            "ensemble 'e' contains itself");
}

TEST(EnsembleListTest, NestingIsLimited) {
  std::vector<ConfiguredModel> models = {PlainModel("m"), EnsembleOf("e1", {"m"}),
                                         EnsembleOf("e2", {"e1"}), EnsembleOf("e3", {"e2"}),
                                         EnsembleOf("e4", {"e3"})};
  EXPECT_EQ(ListFault(models), "");
  models.push_back(EnsembleOf("e5", {"e4"}));
  EXPECT_EQ(ListFault(models),
            "file: model 'e5' version 1, step 'run e4' -> model 'e4' version 1, step 'run e3' -> "
            "model 'e3' version 1, step 'run e2' -> model 'e2' version 1, step 'run e1': ensembles "
            "are nested more than 4 deep");
}

TEST(EnsembleListTest, ListsWhatStepsNeed) {
  ConfiguredModel model = EnsembleOf("e", {"m", "m", "n"});
  std::vector<ensemble::Step>& steps = model.ensembles[0].steps;
  steps[1].model.version = core::VersionNumber{3};
  steps[2].model.label = "stable";
  const auto versions = VersionsOfSteps({model, PlainModel("m")});
  ASSERT_EQ(versions.size(), 1U);
  EXPECT_EQ(versions.at("m"), (std::set<core::VersionNumber>{{3}}));
  const auto composed = ComposedVersions(model);
  ASSERT_EQ(composed.size(), 1U);
  const auto& parts = composed.at({1}).parts;
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[0], (core::ComposedVersion::Part{.used_by = "step 'run m'", .model = "m"}));
  EXPECT_EQ(parts[1].version, core::VersionNumber{3});
  EXPECT_EQ(parts[2].label, "stable");
}

}  // namespace
}  // namespace penstock
