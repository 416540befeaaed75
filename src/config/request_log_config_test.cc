// SPDX-License-Identifier: Apache-2.0
#include "config/request_log_config.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "serving/logging_config.pb.h"

namespace penstock {
namespace {

using testing::HasSubstr;

StatusOr<RequestLogOptions> ReadLog(const std::string& text) {
  tensorflow::serving::LoggingConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return ReadRequestLog(config, "m");
}

std::string LogProblem(const std::string& text) {
  const auto log = ReadLog(text);
  EXPECT_EQ(log.status().code(), StatusCode::kInvalidArgument) << text;
  return std::string(MessageOf(log.status()));
}

TEST(RequestLogConfigTest, ReadsThePrefixTheTypeAndTheRate) {
  const auto log = ReadLog(R"(log_collector_config { type: "jsonl" filename_prefix: "p q" }
                           sampling_config { sampling_rate: 0.25 })");
  ASSERT_TRUE(log.ok());
  EXPECT_EQ(log->filename_prefix, "p q");
  EXPECT_EQ(log->format, RequestLogFormat::kJsonLines);
  EXPECT_EQ(log->sampling_rate, 0.25);
  const auto plain = ReadLog("");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->filename_prefix, "m") << "the model's name";
  EXPECT_EQ(plain->format, RequestLogFormat::kTfRecord);
  EXPECT_EQ(plain->sampling_rate, 0);
}

TEST(RequestLogConfigTest, APrefixDoesNotLeadOutOfTheDirectory) {
  for (const char* prefix : {"../a", "/a", "a/b", "..", ".a", "a\\n"}) {
    EXPECT_THAT(
        LogProblem(std::string("log_collector_config { filename_prefix: \"") + prefix + "\" }"),
        HasSubstr("it must be one path component"));
  }
  EXPECT_THAT(
      LogProblem("log_collector_config { filename_prefix: \"" + std::string(101, 'a') + "\" }"),
      HasSubstr("1 to 100 bytes"));
}

TEST(RequestLogConfigTest, SaysWhatIsNotSupported) {
  EXPECT_THAT(LogProblem("log_collector_config { type: 'kafka' }"), HasSubstr("'kafka'"));
  for (const char* rate : {"-0.1", "1.1", "nan"}) {
    EXPECT_THAT(LogProblem(std::string("sampling_config { sampling_rate: ") + rate + " }"),
                HasSubstr("it must be 0 to 1"));
  }
  EXPECT_THAT(LogProblem("sampling_config { attributes: 1 }"), HasSubstr("not supported"));
}

}  // namespace
}  // namespace penstock
