// SPDX-License-Identifier: Apache-2.0
#include "loading/warm_up.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/os/test_folder.h"
#include "infer/model_fake.h"
#include "loading/record_fake.h"
#include "loading/warm_up_loader.h"
#include "serving/classification.pb.h"
#include "serving/inference.pb.h"
#include "serving/predict.pb.h"
#include "serving/prediction_log.pb.h"
#include "serving/regression.pb.h"

namespace penstock {
namespace {

using tensorflow::serving::ClassificationRequest;
using tensorflow::serving::MultiInferenceRequest;
using tensorflow::serving::PredictionLog;
using tensorflow::serving::PredictRequest;
using tensorflow::serving::RegressionRequest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// The bytes of a request with the float32 input "x".
std::string Predict(float x) {
  PredictRequest request;
  request.mutable_model_spec()->set_name("another model");
  request.mutable_model_spec()->mutable_version()->set_value(77);
  auto& tensor = (*request.mutable_inputs())["x"];
  tensor.set_dtype(tensorflow::DT_FLOAT);
  tensor.add_float_val(x);
  return request.SerializeAsString();
}

std::string Record(float x) {
  PredictionLog log;
  log.mutable_predict_log()->set_request(Predict(x));
  return FakeRecord(log.SerializeAsString());
}

std::string Record(const PredictionLog& log) { return FakeRecord(log.SerializeAsString()); }

ModelInfo InfoOfX() {
  ModelInfo info = FakeInfo({FakeInput("x", DType::kFloat32)});
  info.signatures[0].outputs = {FakeInput("y", DType::kFloat32)};
  return info;
}

// A version's folder, and a model that keeps what it is given.
class WarmUpTest : public testing::Test {
 protected:
  WarmUpTest()
      : model_({"m", {1}},
               std::make_unique<FakeModel>(
                   InfoOfX(),
                   [this](const InferRequest& request, ResponseCallback done) {
                     seen_.push_back(request.inputs[0].tensor.as<float>()[0]);
                     if (cancel_on_ == seen_.back()) cancel_.Cancel();
                     done({.status = seen_.back() < 0 ? absl::InternalError("it is negative")
                                                      : OkStatus(),
                           .outputs = {}});
                   }),
               metrics_, {}) {
    version_.Make("assets.extra");
    version_.Make("warmup");
  }

  void WriteRecords(const std::string& bytes) {
    version_.Write("assets.extra/tf_serving_warmup_requests", bytes);
  }
  Status Run() { return RunWarmUp(model_, version_.path(), options_, nullptr, cancel_, counts_); }
  // The message of its error, which has this code.
  std::string Problem(StatusCode code) {
    const Status status = Run();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(MessageOf(status));
  }
  std::string At(std::string_view file) const {
    return fmt::format("warm-up: {}/{}: ", version_.path(), file);
  }
  std::string AtRecord(int number) const {
    return At("assets.extra/tf_serving_warmup_requests") + fmt::format("record {}: ", number);
  }

  const TestFolder version_;
  std::vector<float> seen_;
  float cancel_on_ = -1000;
  CancelToken cancel_;
  MetricsRegistry metrics_;
  ServedModel model_;
  WarmUpOptions options_;
  WarmUpCounts counts_;
};

TEST_F(WarmUpTest, MissingAndEmptyFilesAreFine) {
  EXPECT_TRUE(Run().ok());
  WriteRecords("");
  EXPECT_TRUE(Run().ok());
  std::filesystem::remove_all(version_.path());
  EXPECT_TRUE(Run().ok());
  EXPECT_THAT(seen_, IsEmpty());
  EXPECT_EQ(counts_.requests, 0u);
}

TEST_F(WarmUpTest, RunsRecordsInOrder) {
  WriteRecords(Record(3) + Record(1) + Record(2));
  ASSERT_TRUE(Run().ok());
  EXPECT_THAT(seen_, ElementsAre(3, 1, 2));
  EXPECT_EQ(counts_.requests, 3u);
}

TEST_F(WarmUpTest, RunsEachRecordAsOftenAsConfigured) {
  options_.iterations = 3;
  WriteRecords(Record(1) + Record(2));
  ASSERT_TRUE(Run().ok());
  EXPECT_THAT(seen_, ElementsAre(1, 1, 1, 2, 2, 2));
  EXPECT_EQ(counts_.requests, 2u);
}

TEST_F(WarmUpTest, RunsFilesByName) {
  version_.Write("warmup/10.json", R"({"instances": [10]})");
  version_.Write("warmup/05.pb", Predict(5));
  version_.Write("warmup/20.json", R"({"signature_name": "serving_default", "inputs": {"x": 20}})");
  version_.Write("warmup/notes.txt", "not a request");
  WriteRecords(Record(1));
  testing::internal::CaptureStderr();
  ASSERT_TRUE(Run().ok());
  EXPECT_THAT(seen_, ElementsAre(1, 5, 10, 20));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("warmup/notes.txt is not run: its name ends in neither .pb nor .json"));
}

TEST_F(WarmUpTest, AWarmUpThatFailsAndIsTriedAgainDoesNotRepeatItsWarnings) {
  version_.Write("warmup/a.json", R"({"instances": [-1]})");
  version_.Write("warmup/notes.txt", "not a request");
  testing::internal::CaptureStderr();
  EXPECT_FALSE(Run().ok());
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(WarmUpTest, ARunThatFailsIsNamed) {
  WriteRecords(Record(1) + Record(-1) + Record(2));
  EXPECT_EQ(Problem(StatusCode::kInternal), AtRecord(2) + "it is negative");
  EXPECT_THAT(seen_, ElementsAre(1, -1));
}

TEST_F(WarmUpTest, AFileThatFailsIsNamed) {
  version_.Write("warmup/a.json", R"({"instances": [-1]})");
  EXPECT_EQ(Problem(StatusCode::kInternal), At("warmup/a.json") + "it is negative");
}

TEST_F(WarmUpTest, ARequestThatDoesNotFitIsNamed) {
  PredictionLog log;
  log.mutable_predict_log()->set_request("\x0a\x7f");
  WriteRecords(Record(log));
  EXPECT_THAT(Problem(StatusCode::kInvalidArgument),
              HasSubstr(AtRecord(1) + "PredictRequest is malformed"));
  PredictRequest no_inputs;
  log.mutable_predict_log()->set_request(no_inputs.SerializeAsString());
  WriteRecords(Record(log));
  EXPECT_THAT(Problem(StatusCode::kInvalidArgument),
              HasSubstr(AtRecord(1) + "input size does not match signature"));
  no_inputs.mutable_model_spec()->set_signature_name("other");
  log.mutable_predict_log()->set_request(no_inputs.SerializeAsString());
  WriteRecords(Record(log));
  EXPECT_THAT(Problem(StatusCode::kFailedPrecondition),
              StartsWith(AtRecord(1) + "Serving signature key \"other\" not found."));
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(WarmUpTest, BadJsonIsNamed) {
  version_.Write("warmup/a.json", "[1, 2]");
  EXPECT_THAT(Problem(StatusCode::kInvalidArgument), HasSubstr(At("warmup/a.json")));
}

TEST_F(WarmUpTest, DamagedFilesAreErrors) {
  WriteRecords(Record(1) + "garbage");
  EXPECT_THAT(Problem(StatusCode::kDataLoss), HasSubstr("the file ends at byte"));
  std::string bad = Record(1);
  bad.back() = static_cast<char>(bad.back() ^ 1);
  WriteRecords(bad);
  EXPECT_THAT(Problem(StatusCode::kDataLoss),
              AllOf(HasSubstr("the checksum of the record at byte 0"),
                    HasSubstr("Please verify your warmup data is in TFRecord format.")));
  WriteRecords(FakeRecord("\x32\x05 cut"));
  EXPECT_EQ(
      Problem(StatusCode::kInvalidArgument),
      AtRecord(1) + "Failed to parse warmup record: it is no tensorflow.serving.PredictionLog");
}

// A request with one Example, whose feature "x" has this value.
template <typename Request>
std::string Examples(float x) {
  Request request;
  auto& example = *request.mutable_input()->mutable_example_list()->add_examples();
  (*example.mutable_features()->mutable_feature())["x"].mutable_float_list()->add_value(x);
  return request.SerializeAsString();
}

TEST_F(WarmUpTest, RunsExamples) {
  PredictionLog classify, regress, multi;
  classify.mutable_classify_log()->set_request(Examples<ClassificationRequest>(2));
  regress.mutable_regress_log()->set_request(Examples<RegressionRequest>(3));
  MultiInferenceRequest request;
  ASSERT_TRUE(request.ParseFromString(Examples<MultiInferenceRequest>(4)));
  request.add_tasks()->set_method_name("tensorflow/serving/regress");
  request.mutable_tasks(0)->mutable_model_spec()->set_name("another model");
  multi.mutable_multi_inference_log()->set_request(request.SerializeAsString());
  WriteRecords(Record(classify) + Record(1) + Record(multi) + Record(regress));
  ASSERT_EQ(Run(), OkStatus());
  EXPECT_THAT(seen_, ElementsAre(2, 1, 4, 3));
  EXPECT_EQ(counts_.requests, 4u);
  classify.mutable_classify_log()->set_request("");
  WriteRecords(Record(classify));
  EXPECT_EQ(Problem(StatusCode::kInvalidArgument), AtRecord(1) + "Input is empty.");
}

TEST_F(WarmUpTest, RunsTheRequestsOfAStream) {
  PredictionLog log;
  log.mutable_predict_streamed_log()->add_request(Predict(5));
  log.mutable_predict_streamed_log()->add_request(Predict(6));
  WriteRecords(Record(log));
  ASSERT_EQ(Run(), OkStatus());
  EXPECT_THAT(seen_, ElementsAre(5, 6));
}

TEST_F(WarmUpTest, RecordsWithoutARequestAreErrors) {
  PredictionLog log;
  WriteRecords(Record(1) + Record(log));
  EXPECT_EQ(Problem(StatusCode::kInvalidArgument),
            AtRecord(2) + "Unsupported log_type for warmup: the PredictionLog has no request");
  log.mutable_session_run_log()->mutable_request();
  WriteRecords(Record(log));
  EXPECT_THAT(Problem(StatusCode::kUnimplemented),
              HasSubstr("Unsupported log_type for warmup: SessionRun, unless one signature"));
}

TEST_F(WarmUpTest, RunsAtMostAThousandRecords) {
  std::string records;
  for (int i = 0; i < 1000; ++i) records += Record(1);
  WriteRecords(records);
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(seen_.size(), 1000u);
  WriteRecords(records + Record(1));
  EXPECT_THAT(Problem(StatusCode::kInvalidArgument),
              HasSubstr("Number of warmup records exceeds the maximum (1000)"));
  WriteRecords("");
  for (int i = 0; i < 1001; ++i) version_.Write(fmt::format("warmup/{}.pb", i), Predict(1));
  EXPECT_THAT(Problem(StatusCode::kInvalidArgument),
              HasSubstr("warmup: has more than 1000 requests"));
}

TEST_F(WarmUpTest, OpensRegularFilesOnly) {
  version_.Make("assets.extra/tf_serving_warmup_requests");
  EXPECT_THAT(Problem(StatusCode::kDataLoss), HasSubstr("is no regular file"));
  std::filesystem::remove_all(version_ / "assets.extra");
  version_.Make("warmup/a.json");
  EXPECT_EQ(Problem(StatusCode::kDataLoss), At("warmup/a.json") + "is no regular file");
  std::filesystem::remove_all(version_ / "warmup");
  version_.Write("warmup", "a file");
  EXPECT_THAT(Problem(StatusCode::kDataLoss), HasSubstr("warmup: cannot be read: Not a directory"));
}

TEST_F(WarmUpTest, EndsWhenItIsCancelled) {
  options_.iterations = 2;
  cancel_on_ = 2;
  WriteRecords(Record(1) + Record(2) + Record(3));
  EXPECT_EQ(Problem(StatusCode::kCancelled), AtRecord(2) + "the version is no longer wanted");
  EXPECT_THAT(seen_, ElementsAre(1, 1, 2));
}

// The loader around it.
class WarmUpLoaderTest : public WarmUpTest {
 protected:
  StatusOr<std::unique_ptr<core::Servable>> Load() {
    const core::ServableId id{"m", {3}};
    auto loader = std::make_unique<FakeModelLoader>(
        id,
        [this]() -> StatusOr<std::unique_ptr<Model>> {
          if (!load_status_.ok()) return load_status_;
          ModelInfo info = InfoOfX();
          info.traits.has_state = has_state_;
          return std::make_unique<FakeModel>(
              std::move(info), [this](const InferRequest& request, ResponseCallback done) {
                clock_.Advance(std::chrono::milliseconds(20));
                if (cancels_load_) loader_->Cancel();
                was_cancelled_ = request.cancel->IsCancelled();
                model_.model().Run(request, std::move(done));
              });
        },
        metrics_);
    WarmUpLoader warm_up(id, version_.path(), options_, recent_, std::move(loader), metrics_,
                         clock_);
    loader_ = &warm_up;
    return warm_up.Load();
  }

  // A version that serves answers a request with this value of "x".
  void Serve(float x) {
    tfs::ReadPredict read;
    const std::string message = Predict(x);
    ASSERT_EQ(tfs::ReadPredictRequest(WholeSlice(CopyToBuffer(message)), options_.predict, read),
              OkStatus());
    recent_->Watch(read.request, [](InferResponse&&) {})({.status = OkStatus(), .outputs = {}});
  }

  std::shared_ptr<RecentRequests> recent_ = std::make_shared<RecentRequests>(
      RecentRequestsOptions{}, std::make_shared<Allowance>(1 << 20));
  bool has_state_ = false;
  Status load_status_;
  bool cancels_load_ = false;
  bool was_cancelled_ = false;  // what the last run saw
  WarmUpLoader* loader_ = nullptr;
  FakeClock clock_;
  MetricsRegistry metrics_;
};

TEST_F(WarmUpLoaderTest, MeasuresAndReports) {
  WriteRecords(Record(1) + Record(2));
  testing::internal::CaptureStderr();
  const auto servable = Load();
  const std::string log = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(servable.ok()) << servable.status();
  EXPECT_THAT(seen_, ElementsAre(1, 2));
  EXPECT_THAT(log, HasSubstr("warmed up m version 3: 2 requests, 1 times each, in 40 ms"));
  const std::string text = metrics_.Text();
  EXPECT_THAT(
      text,
      HasSubstr(fmt::format(
          ":tensorflow:serving:model_warmup_latency_sum{{model_path=\"{}\",status=\"OK\"}} 40000",
          version_.path())));
  EXPECT_THAT(text, HasSubstr(fmt::format(
                        ":tensorflow:serving:model_warmup_records_read{{model_path=\"{}\"}} 2",
                        version_.path())));
}

TEST_F(WarmUpLoaderTest, RecordedRequestsAreKeptForTheCheckOfBatching) {
  WriteRecords(Record(1) + Record(2));
  ASSERT_TRUE(Load().ok());
  EXPECT_EQ(recent_->Kept().size(), 1U) << "they have the same form";
}

TEST_F(WarmUpLoaderTest, RecordedRequestsOfAModelWithStateAreNotKept) {
  has_state_ = true;
  WriteRecords(Record(1));
  ASSERT_TRUE(Load().ok());
  EXPECT_TRUE(recent_->Kept().empty());
}

TEST_F(WarmUpLoaderTest, AFailedWarmUpFailsTheLoad) {
  WriteRecords(Record(-1));
  const auto servable = Load();
  EXPECT_EQ(MessageOf(servable.status()), AtRecord(1) + "it is negative");
  EXPECT_THAT(metrics_.Text(), HasSubstr("status=\"INTERNAL\""));
}

TEST_F(WarmUpLoaderTest, ACancelledLoadEnds) {
  WriteRecords(Record(1) + Record(2));
  cancels_load_ = true;
  EXPECT_EQ(Load().status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(was_cancelled_);
  EXPECT_THAT(seen_, ElementsAre(1));
  cancels_load_ = false;  // the next one begins afresh
  ASSERT_TRUE(Load().ok());
  EXPECT_FALSE(was_cancelled_);
}

TEST_F(WarmUpLoaderTest, WithoutRequestsNothingIsMeasured) {
  ASSERT_TRUE(Load().ok());
  EXPECT_THAT(metrics_.Text(), Not(HasSubstr("warmup")));
}

TEST_F(WarmUpLoaderTest, RunsRecentRequestsIfNoneIsRecorded) {
  Serve(7);
  options_.iterations = 2;
  testing::internal::CaptureStderr();
  const auto servable = Load();
  const std::string log = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(servable.ok()) << servable.status();
  EXPECT_THAT(seen_, ElementsAre(7, 7));
  EXPECT_THAT(log,
              HasSubstr("warmed up m version 3 with 1 recent requests of its model, 2 times each"));
  EXPECT_THAT(metrics_.Text(), Not(HasSubstr("warmup")));
  EXPECT_EQ(static_cast<ServedModel&>(**servable).recent(), recent_.get());
}

TEST_F(WarmUpLoaderTest, RecordedRequestsTakeThePlaceOfRecentOnes) {
  Serve(7);
  WriteRecords(Record(1));
  ASSERT_TRUE(Load().ok());
  EXPECT_THAT(seen_, ElementsAre(1));
}

TEST_F(WarmUpLoaderTest, ARecentRequestThatFailsDoesNotFailTheLoad) {
  Serve(-1);
  testing::internal::CaptureStderr();
  const auto servable = Load();
  const std::string log = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(servable.ok()) << servable.status();
  EXPECT_THAT(log, HasSubstr("warm-up of m version 3: it does not answer a request that a version "
                             "before it has answered: it is negative"));
}

TEST_F(WarmUpLoaderTest, ACancelEndsTheRunsOfRecentRequests) {
  Serve(7);
  options_.iterations = 3;
  cancels_load_ = true;
  EXPECT_EQ(Load().status().code(), StatusCode::kCancelled);
  EXPECT_THAT(seen_, ElementsAre(7));
}

TEST_F(WarmUpLoaderTest, RequestsOfAModelWithStateAreNeitherRunNorKept) {
  Serve(7);
  has_state_ = true;
  const auto servable = Load();
  ASSERT_TRUE(servable.ok()) << servable.status();
  EXPECT_THAT(seen_, IsEmpty());
  EXPECT_EQ(static_cast<ServedModel&>(**servable).recent(), nullptr);
}

TEST_F(WarmUpLoaderTest, AFailedLoadIsNotWarmedUp) {
  WriteRecords(Record(1));
  load_status_ = absl::DataLossError("broken file");
  EXPECT_EQ(Load().status(), load_status_);
  EXPECT_THAT(seen_, IsEmpty());
}

}  // namespace
}  // namespace penstock
