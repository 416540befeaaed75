// SPDX-License-Identifier: Apache-2.0
#include "loading/prediction_log.h"

#include <gtest/gtest.h>

#include "serving/prediction_log.pb.h"

namespace penstock {
namespace {

using Kind = RecordedRequest::Kind;
using tensorflow::serving::PredictionLog;

Kind KindIn(const PredictionLog& log) {
  const auto request = ReadPredictionLog(log.SerializeAsString());
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? request->kind : Kind::kNone;
}

TEST(PredictionLogTest, GivesTheBytesOfThePredictRequest) {
  PredictionLog log;
  log.mutable_log_metadata()->set_timestamp_secs(7);
  log.mutable_predict_log()->set_request("its bytes");
  log.mutable_predict_log()->set_response("is not looked at");
  const auto request = ReadPredictionLog(log.SerializeAsString());
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->kind, Kind::kPredict);
  EXPECT_EQ(request->messages, std::vector<std::string>{"its bytes"});
}

TEST(PredictionLogTest, KnowsEveryKind) {
  PredictionLog log;
  EXPECT_EQ(KindIn(log), Kind::kNone);
  log.mutable_classify_log()->mutable_request();
  EXPECT_EQ(KindIn(log), Kind::kClassify);
  log.mutable_regress_log()->mutable_request();
  EXPECT_EQ(KindIn(log), Kind::kRegress);
  log.mutable_multi_inference_log()->mutable_request();
  EXPECT_EQ(KindIn(log), Kind::kMultiInference);
  log.mutable_session_run_log()->mutable_request();
  EXPECT_EQ(KindIn(log), Kind::kSessionRun);
  log.mutable_predict_streamed_log()->add_request();
  EXPECT_EQ(KindIn(log), Kind::kPredictStreamed);
  EXPECT_EQ(KindName(Kind::kNone), "none");
  EXPECT_EQ(KindName(Kind::kPredict), "Predict");
  EXPECT_EQ(KindName(Kind::kClassify), "Classify");
  EXPECT_EQ(KindName(Kind::kRegress), "Regress");
  EXPECT_EQ(KindName(Kind::kMultiInference), "MultiInference");
  EXPECT_EQ(KindName(Kind::kSessionRun), "SessionRun");
  EXPECT_EQ(KindName(Kind::kPredictStreamed), "PredictStreamed");
}

TEST(PredictionLogTest, GivesAllRequestsOfAStream) {
  PredictionLog log;
  log.mutable_predict_streamed_log()->add_request("one");
  log.mutable_predict_streamed_log()->add_request("two");
  const std::vector<std::string> expected = {"one", "two"};
  EXPECT_EQ(ReadPredictionLog(log.SerializeAsString())->messages, expected);
}

TEST(PredictionLogTest, RefusesOtherBytes) {
  const auto request = ReadPredictionLog("\x32\x05 cut");
  EXPECT_EQ(request.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(request.status()),
            "Failed to parse warmup record: it is no tensorflow.serving.PredictionLog");
}

}  // namespace
}  // namespace penstock
