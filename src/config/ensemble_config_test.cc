// SPDX-License-Identifier: Apache-2.0
#include "config/ensemble_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "config/config_files.h"

namespace penstock {
namespace {

constexpr std::string_view kStep =
    R"(step { model: "m" inputs { key: "a" value: "x" } outputs { key: "b" value: "y" } })";

// The list with one model "e" that has these fields.
StatusOr<ConfiguredModel> ParseOne(const std::string& fields) {
  ASSIGN_OR_RETURN(
      const std::vector<ConfiguredModel> models,
      ParseModelConfig("model_config_list { config { name: \"e\" " + fields + " } }", "file"));
  return models.at(0);
}

std::string EnsembleFault(const std::string& fields) {
  return std::string(ParseOne(fields).status().message());
}

TEST(EnsembleConfigTest, ReadsVersionsOfGraphs) {
  const auto model = ParseOne(R"(penstock {
      ensemble { input: "x" output: "y" )" +
                              std::string(kStep) + R"( }
      ensemble { version: 7 input: "x" output: "y" output: "z"
        step { name: "second" model: "n" version: 3 signature: "s"
               inputs { key: "b" value: "x" } inputs { key: "a" value: "x" }
               outputs { key: "o" value: "y" } }
        step { name: "third" model: "n" label: "stable" inputs { key: "b" value: "x" }
               outputs { key: "o" value: "z" } } } })");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->base_path, kEnsemblePath);
  ASSERT_EQ(model->ensembles.size(), 2U);
  const ensemble::Graph& first = model->ensembles[0];
  EXPECT_EQ(first.version.value, 1);
  EXPECT_EQ(first.inputs, std::vector<std::string>{"x"});
  EXPECT_EQ(first.steps.at(0).name, "m");
  EXPECT_EQ(first.steps[0].outputs, (std::vector<ensemble::Mapping>{{"b", "y"}}));
  const ensemble::Graph& second = model->ensembles[1];
  EXPECT_EQ(second.version.value, 7);
  EXPECT_EQ(second.steps.at(0).name, "second");
  EXPECT_EQ(second.steps[0].signature, "s");
  EXPECT_EQ(second.steps[0].model.ToString(), "n version 3");
  EXPECT_EQ(second.steps[0].inputs, (std::vector<ensemble::Mapping>{{"a", "x"}, {"b", "x"}}));
  EXPECT_EQ(second.steps[1].model.ToString(), "n label stable");
}

TEST(EnsembleConfigTest, MistakesAreNamedWithTheWayToThem) {
  const auto ensemble = [](const std::string& fields) {
    return "penstock { ensemble { input: \"x\" output: \"y\" " + fields + " } }";
  };
  const std::string good = ensemble(std::string(kStep));
  const std::pair<std::string, std::string> faults[] = {
      {ensemble(""), "has a mistake in ensemble version 1: it has no step"},
      {ensemble("version: 4"), "has a mistake in ensemble version 4: it has no step"},
      {ensemble("version: -4 " + std::string(kStep)),
       "has a mistake in ensemble version -4: its version is -4, but the first one is 1"},
      {ensemble("version: 0 " + std::string(kStep)),
       "has a mistake in ensemble version 0: its version is 0, but the first one is 1"},
      {ensemble(R"(step { model: "m" version: 1 label: "l" })"),
       "has a mistake in ensemble version 1: step 'm': it has both a version and a label; name one "
       "of them"},
      {ensemble(R"(step { model: "m" version: -1 })"),
       "has a mistake in ensemble version 1: step 'm': the version -1 is negative"},
      {ensemble(R"(step { model: "m" inputs { key: "a" } })"),
       "has a mistake in ensemble version 1: step 'm': inputs need a key, the name in the model, "
       "and a value, that of the tensor"},
      {"penstock { ensemble { input: \"x\" output: \"y\" " + std::string(kStep) +
           " } ensemble { input: \"x\" output: \"y\" " + std::string(kStep) + " } }",
       "has two ensembles of version 1; give each a version of its own"},
      {good + " base_path: \"/m\"", "has both an ensemble and a base_path; remove one of them"},
      {good + " model_platform: \"tensorflow\"",
       "has an ensemble, and so no model_platform; remove that"},
      {"penstock { batching { enabled: true } " + good.substr(11),
       "has an ensemble, and batching, which has no effect on it; set it for the models of its "
       "steps"},
      {"penstock { cache { } " + good.substr(11),
       "has an ensemble, and cache, which has no effect on it; set it for the models of its steps"},
      {"penstock { scheduling { priority: 1 } " + good.substr(11),
       "has an ensemble, and scheduling, which has no effect on it; set it for the models of its "
       "steps"},
      {"base_path: \"ensemble:\"",
       "has the base_path ensemble:, but no penstock { ensemble { ... } }"}};
  for (const auto& [fields, message] : faults)
    EXPECT_EQ(EnsembleFault(fields), "file: model 'e' " + message) << fields;
}

TEST(EnsembleConfigTest, AKeyThatIsThereTwiceIsAnErrorWithItsPlace) {
  const auto fault = [](const std::string& mappings) {
    return EnsembleFault(
        "penstock { ensemble { input: \"x\" output: \"y\"\n step { model: \"m\"\n" + mappings +
        " } } }");
  };
  EXPECT_THAT(
      fault(R"(inputs { key: "a" value: "x" } inputs { key: "a" value: "y" })"),
      testing::HasSubstr("3:32: the key \"a\" of \"inputs\" is there twice: it has one value"));
  EXPECT_THAT(fault(R"(outputs { key: "b" value: "y" }
                       outputs { key: "b" value: "z" })"),
              testing::EndsWith("the key \"b\" of \"outputs\" is there twice: it has one value, a "
                                "tensor that any number of steps may take"));
  // As in TensorFlow Serving, the last one counts.
  const auto labels = ParseOne(R"(base_path: "/m" version_labels { key: "l" value: 1 }
                                  version_labels { key: "l" value: 2 })");
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_EQ(labels->labels.at("l").value, 2);
}

}  // namespace
}  // namespace penstock
