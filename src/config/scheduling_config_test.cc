// SPDX-License-Identifier: Apache-2.0
#include "config/scheduling_config.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

#include "penstock/model_options.pb.h"

namespace penstock {
namespace {

StatusOr<SchedulingConfig> ReadText(const std::string& text) {
  config::ModelOptions options;
  EXPECT_TRUE(
      google::protobuf::TextFormat::ParseFromString("scheduling { " + text + " }", &options))
      << text;
  return ReadScheduling(options);
}

TEST(SchedulingConfigTest, WhatIsNotSetIsTheDefault) {
  const schedule::ModelLimits defaults{
      .flow = {.weight = 1, .priority = 0, .runs_max = 0, .items_max = 10, .bytes_max = 20}};
  EXPECT_EQ(LimitsOf(*ReadText(""), defaults), defaults);
}

TEST(SchedulingConfigTest, SetsAllLimits) {
  const auto config = ReadText(
      "max_concurrency: 2 queue_requests_max: 30 queue_bytes_max: 0 priority: -3 weight: 2.5");
  ASSERT_TRUE(config.ok()) << config.status();
  const schedule::ModelLimits limits = LimitsOf(*config, {.flow = {.bytes_max = 5}});
  EXPECT_EQ(
      limits,
      (schedule::ModelLimits{
          .flow = {.weight = 2.5, .priority = -3, .runs_max = 2, .items_max = 30, .bytes_max = 0},
          .queues_always = true}));
}

TEST(SchedulingConfigTest, BoundsOfTheQueueLeaveCheapModelsOnTheEventLoop) {
  EXPECT_FALSE(LimitsOf(*ReadText("queue_requests_max: 30 queue_bytes_max: 9"), {}).queues_always);
  EXPECT_FALSE(LimitsOf(*ReadText("max_concurrency: 0"), {}).queues_always);
  for (const char* text : {"max_concurrency: 1", "priority: 0", "weight: 1"})
    EXPECT_TRUE(LimitsOf(*ReadText(text), {}).queues_always) << text;
}

TEST(SchedulingConfigTest, RequestsMayBeLate) {
  EXPECT_EQ(LimitsOf(*ReadText("queue_timeout_us: 5"), {}).flow,
            (schedule::FlowLimits{.late_after = 5000}));
  EXPECT_EQ(
      LimitsOf(*ReadText("queue_timeout_us: 5 queue_timeout_action: DELAY"), {}).flow,
      (schedule::FlowLimits{.late_after = 5000, .late_action = schedule::LateAction::kDelay}));
}

TEST(SchedulingConfigTest, WrongValuesAreExplained) {
  const auto problem = [](const std::string& text) {
    return std::string(MessageOf(ReadText(text).status()));
  };
  EXPECT_EQ(problem("max_concurrency: -1"),
            "has a scheduling with a max_concurrency of -1; it must be 0 to 1000000");
  EXPECT_EQ(problem("queue_requests_max: -5"),
            "has a scheduling with a queue_requests_max of -5; it must be 0 to 1000000000");
  EXPECT_EQ(problem("priority: 11"),
            "has a scheduling with a priority of 11; it must be -10 to 10");
  EXPECT_EQ(problem("queue_timeout_us: -1"),
            "has a scheduling with a queue_timeout_us of -1; it must be 0 to 3600000000");
  EXPECT_EQ(problem("queue_timeout_action: DELAY"),
            "has a scheduling with a queue_timeout_action without queue_timeout_us");
  for (const char* weight : {"0", "-1", "101", "nan", "inf"}) {
    EXPECT_EQ(
        problem(std::string("weight: ") + weight),
        std::string("has a scheduling with a weight of ") + weight + "; it must be 0.01 to 100");
  }
}

}  // namespace
}  // namespace penstock
