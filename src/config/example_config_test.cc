// SPDX-License-Identifier: Apache-2.0
#include "config/example_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_files.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

StatusOr<std::vector<ConfiguredModel>> Parse(std::string_view options) {
  return ParseModelConfig(
      fmt::format(
          "model_config_list {{ config {{ name: 'm' base_path: '/m' penstock {{ {} }} }} }}",
          options),
      "f");
}

std::string ErrorOf(std::string_view options) {
  const Status status = Parse(options).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  return std::string(MessageOf(status));
}

TEST(ExampleConfig, ReadsBothMethods) {
  const auto models = Parse(R"(
    classify {
      scores: "p" label: "no" label: "yes"
      feature { input: "a" name: "age" default_value: "1" }
    }
    classify { signature: "s" classes: "c" examples: "text" }
    regress { values: "v" feature { input: "a" default_value: "1" default_value: "2" } })");
  ASSERT_TRUE(models.ok()) << models.status();
  const std::vector<ExampleOptions>& examples = (*models)[0].examples;
  ASSERT_EQ(examples.size(), 3u);
  EXPECT_EQ(examples[0].scores, "p");
  EXPECT_THAT(examples[0].labels, ElementsAre("no", "yes"));
  EXPECT_EQ(examples[0].features[0].feature, "age");
  EXPECT_EQ(examples[1].signature, "s");
  EXPECT_EQ(examples[1].classes, "c");
  EXPECT_EQ(examples[1].examples, "text");
  EXPECT_EQ(examples[2].method, ExampleMethod::kRegress);
  EXPECT_EQ(examples[2].values, "v");
  EXPECT_THAT(examples[2].features[0].default_values, ElementsAre("1", "2"));
}

TEST(ExampleConfig, RefusesWhatContradictsItself) {
  EXPECT_EQ(ErrorOf("classify {} classify { signature: 'serving_default' }"),
            "f: model 'm' has classify twice for the signature 'serving_default'");
  EXPECT_THAT(ErrorOf("classify { label: 'a' labels_file: 'b' }"), HasSubstr("both label and"));
  EXPECT_THAT(ErrorOf("regress { feature { name: 'a' } }"), HasSubstr("a feature without input"));
  EXPECT_THAT(ErrorOf("regress { feature { input: 'a' } feature { input: 'a' } }"),
              HasSubstr("two features for the input 'a'"));
  EXPECT_THAT(ErrorOf("regress { examples: 'e' feature { input: 'a' } }"),
              HasSubstr("both examples and features"));
}

TEST(ExampleConfig, ALabelsFileLiesInTheFolderOfTheVersion) {
  EXPECT_TRUE(Parse("classify { labels_file: 'assets/labels.txt' }").ok());
  EXPECT_TRUE(Parse("classify { labels_file: 'a..b' }").ok());
  for (const char* file : {"/etc/passwd", "../labels.txt", "assets/../../x", ".."}) {
    EXPECT_THAT(ErrorOf(fmt::format("classify {{ labels_file: '{}' }}", file)),
                HasSubstr("which must lie in the folder of the version"));
  }
}

}  // namespace
}  // namespace penstock
