// SPDX-License-Identifier: Apache-2.0
#include "config/experiment_config.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "penstock/model_options.pb.h"

namespace penstock {
namespace {

using testing::HasSubstr;

StatusOr<ExperimentOptions> Read(const std::string& text) {
  config::ModelOptions options;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &options)) << text;
  return ReadExperiment(options, "m");
}

std::string Problem(const std::string& text) {
  const auto experiment = Read(text);
  EXPECT_EQ(experiment.status().code(), StatusCode::kInvalidArgument) << text;
  return std::string(MessageOf(experiment.status()));
}

TEST(ExperimentConfigTest, AnEmptyConfigIsNoExperiment) {
  const auto experiment = Read("warm_up {}");
  ASSERT_TRUE(experiment.ok());
  EXPECT_TRUE(experiment->empty());
}

TEST(ExperimentConfigTest, ReadsTraffic) {
  const auto experiment = Read(R"(
    traffic {
      arm { version: 3 weight: 90 }
      arm { label: "canary" weight: 10 }
      arm { model: "n" weight: 1 }
      arm { model: "n" version: 0 weight: 1 }
      arm { name: "mine" weight: 0 }
      arm { weight: 2 }
      sticky_header: "x-user"
    })");
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  const std::vector<ArmOptions> expected = {{"v3", {"m", core::VersionNumber{3}, ""}, 90},
                                            {"canary", {"m", {}, "canary"}, 10},
                                            {"n", {"n", {}, ""}, 1},
                                            {"n:v0", {"n", core::VersionNumber{0}, ""}, 1},
                                            {"mine", {"m", {}, ""}, 0},
                                            {"newest", {"m", {}, ""}, 2}};
  EXPECT_EQ(experiment->arms, expected);
  EXPECT_EQ(experiment->sticky_header, "x-user");
  EXPECT_EQ(experiment->sticky_input, "");
}

TEST(ExperimentConfigTest, ReadsShadows) {
  const auto experiment = Read(R"(
    shadow { version: 4 fraction: 0.25 in_flight_max: 8 }
    shadow { model: "n" })");
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  const std::vector<ShadowOptions> expected = {{"v4", {"m", core::VersionNumber{4}, ""}, 0.25, 8},
                                               {"n", {"n", {}, ""}, 1, 16}};
  EXPECT_EQ(experiment->shadows, expected);
}

TEST(ExperimentConfigTest, RefusesContradictions) {
  EXPECT_THAT(Problem("traffic {}"), HasSubstr("no arm with a weight above 0"));
  EXPECT_THAT(Problem("traffic { arm { version: 1 } }"), HasSubstr("no arm with a weight above 0"));
  EXPECT_THAT(Problem("traffic { arm { version: 1 label: 'a' weight: 1 } }"),
              HasSubstr("an arm with both a version and a label"));
  EXPECT_THAT(Problem("traffic { arm { version: -1 weight: 1 } }"),
              HasSubstr("the version -1, which is negative"));
  EXPECT_THAT(Problem("traffic { arm { version: 1 weight: 1 } arm { version: 1 weight: 2 } }"),
              HasSubstr("two arms called 'v1'"));
  EXPECT_THAT(Problem("traffic { arm { weight: 1 } sticky_header: 'a' sticky_input: 'b' }"),
              HasSubstr("both sticky_header and sticky_input"));
  EXPECT_THAT(Problem("traffic { arm { weight: 1 } sticky_header: 'x user' }"),
              HasSubstr("'x user', which is no name of a header"));
  std::string arms;
  for (int i = 0; i <= kArmsMax; ++i) arms += fmt::format("arm {{ version: {} weight: 1 }} ", i);
  EXPECT_THAT(Problem("traffic { " + arms + "}"), HasSubstr("101 arms: more than 100"));
  EXPECT_THAT(Problem("shadow { version: 1 label: 'a' }"), HasSubstr("a shadow with both"));
  EXPECT_THAT(Problem("shadow { version: 1 fraction: 0 }"),
              HasSubstr("the fraction 0; it must be"));
  EXPECT_THAT(Problem("shadow { version: 1 fraction: 1.5 }"), HasSubstr("the fraction 1.5;"));
  EXPECT_THAT(Problem("shadow { version: 1 fraction: nan }"), HasSubstr("the fraction nan;"));
  EXPECT_THAT(Problem("shadow { version: 1 in_flight_max: 10001 }"), HasSubstr("more than 10000"));
  EXPECT_THAT(Problem("shadow { version: 1 } shadow { version: 1 }"),
              HasSubstr("two shadows called 'v1'"));
  std::string shadows;
  for (int i = 0; i <= kShadowsMax; ++i) shadows += fmt::format("shadow {{ version: {} }} ", i);
  EXPECT_THAT(Problem(shadows), HasSubstr("17 shadows: more than 16"));
}

TEST(ExperimentConfigTest, RefusesArmsAndShadowsThatSayNothing) {
  EXPECT_THAT(Problem("traffic { arm { version: 1 weight: 1 } arm {} }"),
              HasSubstr("an empty arm;"));
  EXPECT_THAT(Problem("shadow {}"), HasSubstr("has a shadow without a target; say its model"));
  EXPECT_THAT(Problem("shadow { name: 'a' fraction: 0.5 }"),
              HasSubstr("a shadow without a target"));
  EXPECT_TRUE(Read("traffic { arm { version: 1 weight: 1 } } shadow {}").ok());
}

}  // namespace
}  // namespace penstock
