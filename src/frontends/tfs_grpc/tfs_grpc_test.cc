// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_grpc/tfs_grpc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "backends/builtin/builtin_models.h"
#include "frontends/tfs_grpc/reload_size.h"
#include "infer/model_fake.h"
#include "serving/classification.pb.h"
#include "serving/get_model_metadata.pb.h"
#include "serving/get_model_status.pb.h"
#include "serving/inference.pb.h"
#include "serving/model_management.pb.h"
#include "serving/predict.pb.h"
#include "serving/regression.pb.h"

namespace penstock::tfs {
namespace {

using tensorflow::serving::ClassificationRequest;
using tensorflow::serving::ClassificationResponse;
using tensorflow::serving::GetModelMetadataRequest;
using tensorflow::serving::GetModelMetadataResponse;
using tensorflow::serving::GetModelStatusRequest;
using tensorflow::serving::GetModelStatusResponse;
using tensorflow::serving::MultiInferenceRequest;
using tensorflow::serving::PredictRequest;
using tensorflow::serving::PredictResponse;
using tensorflow::serving::RegressionRequest;
using tensorflow::serving::RegressionResponse;
using tensorflow::serving::ReloadConfigRequest;
using tensorflow::serving::ReloadConfigResponse;
using testing::HasSubstr;

constexpr std::string_view kPredict = "/tensorflow.serving.PredictionService/Predict";
constexpr std::string_view kStreamed = "/penstock.StreamingPredictionService/PredictStreamed";
constexpr std::string_view kClassify = "/tensorflow.serving.PredictionService/Classify";
constexpr std::string_view kRegress = "/tensorflow.serving.PredictionService/Regress";
constexpr std::string_view kMulti = "/tensorflow.serving.PredictionService/MultiInference";
constexpr std::string_view kMetadata = "/tensorflow.serving.PredictionService/GetModelMetadata";
constexpr std::string_view kStatus = "/tensorflow.serving.ModelService/GetModelStatus";
constexpr std::string_view kReload = "/tensorflow.serving.ModelService/HandleReloadConfigRequest";

// What a call was answered with. One thread at a time.
struct Answer {
  int answers = 0;
  Status status;
  std::string message;
  std::vector<std::string> parts;
  std::string trailers;
};

// A call without a connection. One thread at a time.
class FakeGrpcCall final : public net::GrpcCall {
 public:
  FakeGrpcCall(const std::string& message, Answer& answer, SteadyTime deadline,
               const net::Endpoint& endpoint, std::span<const net::Header> headers)
      : answer_(answer) {
    head_.headers = headers;
    head_.endpoint = &endpoint;
    message_ = WholeSlice(CopyToBuffer(message));
    deadline_ = deadline;
  }
  void Respond(ByteChain&& message, const net::OkTrailers& trailers) override {
    answer_.trailers = trailers.block();
    ++answer_.answers;
    answer_.message = std::string(Flatten(message).view());
  }
  void Finish(const Status& status, net::OwnedHeaders) override {
    ++answer_.answers;
    answer_.status = status;
  }
  void Read(absl::AnyInvocable<void(std::optional<Slice>)>) override { FAIL(); }
  void SendInitialMetadata(net::OwnedHeaders) override { FAIL(); }
  void Write(ByteChain message, absl::AnyInvocable<void(bool)> on_accepted) override {
    answer_.parts.push_back(std::string(Flatten(message).view()));
    on_accepted(true);
  }
  void CancelFromRun() override { cancel_.Cancel(); }

 private:
  void Destroy() override { delete this; }

  Answer& answer_;
};

// A front end on an engine with "half" (versions 1 and 2, label "stable" = 1) and "same" (any
// tensors). One thread at a time.
class TfsGrpcTest : public testing::Test {
 protected:
  TfsGrpcTest() {
    std::vector<core::ModelConfig> models(2);
    models[0].name = "half";
    models[0].labels["stable"] = core::VersionNumber{1};
    models[1].name = "same";
    EXPECT_TRUE(manager_.SetModels(std::move(models)).ok());
    Load("half", {1, 2}, "builtin:half_plus_two");
    Load("same", {1}, "builtin:identity");
    frontend_.Register(router_);
  }

  void Load(const std::string& name, std::vector<int64_t> versions, std::string_view path) {
    std::vector<core::AspiredVersion> aspired;
    for (const int64_t version : versions) {
      aspired.push_back({core::VersionNumber{version},
                         MakeBuiltinLoader({name, core::VersionNumber{version}}, path, registry_)});
    }
    manager_.SetAspired(name, std::move(aspired));
    EXPECT_TRUE(manager_.WaitUntilIdle());
  }

  // The model "script", which answers with these.
  void LoadScript(std::vector<InferResponse> parts) {
    const auto run = [parts = std::move(parts)](const InferRequest&, ResponseCallback done) {
      for (const InferResponse& part : parts) done(InferResponse(part));
    };
    EXPECT_TRUE(ServeFakeModel(manager_, registry_, "script", [&] {
                  return std::make_unique<FakeModel>(FakeInfoOfAny(), run);
                }).ok());
  }

  Answer Send(std::string_view method, const std::string& message,
              SteadyTime deadline = kNoDeadline) {
    Answer answer;
    router_.FindGrpc(method)->handler(
        net::GrpcCallRef(new FakeGrpcCall(message, answer, deadline, endpoint_, headers_)));
    EXPECT_EQ(answer.answers, 1);
    return answer;
  }

  template <typename Response>
  Response Expect(std::string_view method, const google::protobuf::Message& request) {
    const Answer answer = Send(method, request.SerializeAsString());
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    Response response;
    EXPECT_TRUE(response.ParseFromString(answer.message));
    return response;
  }

  Status ErrorOf(std::string_view method, const google::protobuf::Message& request) {
    return Send(method, request.SerializeAsString()).status;
  }

  std::vector<net::Header> headers_;
  Status reload_status_;  // how reloads end
  MetricsRegistry registry_;
  core::Manager manager_;
  schedule::Scheduler scheduler_{{.threads = schedule::PoolThreads::kCaller}};
  Engine engine_{{}, manager_, scheduler_};
  net::Router router_;
  std::vector<ChangeRequest> reloads_;
  std::function<void()> while_reloading_ = [] {};
  const ChangeFunction reload_ = [this](ChangeRequest request) {
    while_reloading_();
    request.done(reload_status_);
    reloads_.push_back(std::move(request));
  };
  net::Endpoint endpoint_{.is_local = true};
  std::vector<core::ServableId> leases_;
  TfsGrpc frontend_{{},
                    engine_,
                    registry_,
                    ReloadAccess::kProtected,
                    reload_,
                    nullptr,
                    [this](const core::ServableId& id) { leases_.push_back(id); }};
};

PredictRequest HalfRequest(float x) {
  PredictRequest request;
  request.mutable_model_spec()->set_name("half");
  auto& tensor = (*request.mutable_inputs())["x"];
  tensor.set_dtype(tensorflow::DT_FLOAT);
  tensor.mutable_tensor_shape()->add_dim()->set_size(1);
  tensor.add_float_val(x);
  return request;
}

TEST_F(TfsGrpcTest, PredictsWithTheNewestVersion) {
  const auto response = Expect<PredictResponse>(kPredict, HalfRequest(3));
  EXPECT_EQ(response.outputs().at("y").float_val(0), 3.5f);
  EXPECT_EQ(response.model_spec().name(), "half");
  EXPECT_EQ(response.model_spec().version().value(), 2);
  EXPECT_EQ(response.model_spec().signature_name(), "serving_default");
}

TEST_F(TfsGrpcTest, TrailersNameTheModelAndTheVersion) {
  PredictRequest request = HalfRequest(3);
  for (const int64_t version : {1, 2, 1}) {
    request.mutable_model_spec()->mutable_version()->set_value(version);
    EXPECT_EQ(Send(kPredict, request.SerializeAsString()).trailers,
              net::OkTrailers(
                  {{"x-penstock-model", "half"}, {"x-penstock-version", std::to_string(version)}})
                  .block());
  }
}

TEST_F(TfsGrpcTest, PredictsByVersionAndLabel) {
  PredictRequest request = HalfRequest(3);
  request.mutable_model_spec()->mutable_version()->set_value(1);
  EXPECT_EQ(Expect<PredictResponse>(kPredict, request).model_spec().version().value(), 1);
  request.mutable_model_spec()->set_version_label("stable");
  EXPECT_EQ(Expect<PredictResponse>(kPredict, request).model_spec().version().value(), 1);
}

// A part of an answer of a script.
InferResponse Part(bool is_last, Status status = OkStatus()) {
  InferResponse part = {.status = std::move(status), .outputs = {}, .is_last = is_last};
  if (part.status.ok()) part.outputs.push_back({"y", *Tensor::Allocate(DType::kInt8, {2})});
  return part;
}

PredictRequest ScriptRequest() {
  PredictRequest request;
  request.mutable_model_spec()->set_name("script");
  return request;
}

TEST_F(TfsGrpcTest, StreamsEachPartAsAMessage) {
  LoadScript({Part(false), Part(false), Part(true)});
  const Answer answer = Send(kStreamed, ScriptRequest().SerializeAsString());
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  ASSERT_EQ(answer.parts.size(), 3U);
  for (const std::string& part : answer.parts) {
    PredictResponse response;
    ASSERT_TRUE(response.ParseFromString(part));
    EXPECT_EQ(response.outputs().at("y").tensor_shape().dim(0).size(), 2);
    EXPECT_EQ(response.model_spec().name(), "script");
  }
  EXPECT_THAT(registry_.Text(), HasSubstr("API=\"PredictStreamed\",entrypoint=\"GRPC\""));
}

TEST_F(TfsGrpcTest, StreamsAModelThatAnswersOnceAsOneMessage) {
  const Answer answer = Send(kStreamed, HalfRequest(3).SerializeAsString());
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  ASSERT_EQ(answer.parts.size(), 1U);
  EXPECT_EQ(answer.parts[0], Send(kPredict, HalfRequest(3).SerializeAsString()).message);
}

TEST_F(TfsGrpcTest, AnErrorEndsAStream) {
  LoadScript({Part(false), Part(true, absl::DataLossError("torn"))});
  const Answer answer = Send(kStreamed, ScriptRequest().SerializeAsString());
  EXPECT_EQ(answer.parts.size(), 1U);
  EXPECT_EQ(answer.status, absl::DataLossError("torn"));
  EXPECT_EQ(ErrorOf(kStreamed, PredictRequest()), InvalidArgument("Missing ModelSpec"));
}

TEST_F(TfsGrpcTest, PredictSaysHowToGetAnAnswerInParts) {
  LoadScript({Part(false), Part(true)});
  const Status status = ErrorOf(kPredict, ScriptRequest());
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("use PredictStreamed"));
}

TEST_F(TfsGrpcTest, ReusesItsStateAfterErrors) {
  for (int i = 0; i < 200; ++i) {
    EXPECT_FALSE(ErrorOf(kPredict, PredictRequest()).ok());
    const auto response = Expect<PredictResponse>(kPredict, HalfRequest(static_cast<float>(i)));
    EXPECT_EQ(response.outputs().at("y").float_val(0), static_cast<float>(i) / 2 + 2);
  }
}

TEST_F(TfsGrpcTest, AnswersTensorsUnchanged) {
  PredictRequest request;
  request.mutable_model_spec()->set_name("same");
  auto& strings = (*request.mutable_inputs())["s"];
  strings.set_dtype(tensorflow::DT_STRING);
  strings.mutable_tensor_shape()->add_dim()->set_size(2);
  strings.add_string_val("one");
  strings.add_string_val(std::string(10000, 'x'));
  auto& content = (*request.mutable_inputs())["c"];
  content.set_dtype(tensorflow::DT_INT64);
  content.mutable_tensor_shape()->add_dim()->set_size(2);
  content.set_tensor_content(std::string("\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0", 16));
  const auto response = Expect<PredictResponse>(kPredict, request);
  EXPECT_EQ(response.outputs().at("s").SerializeAsString(), strings.SerializeAsString());
  EXPECT_THAT(response.outputs().at("c").int64_val(), testing::ElementsAre(1, 2));
}

TEST_F(TfsGrpcTest, GivesTheErrorsOfTensorFlowServing) {
  PredictRequest request;
  EXPECT_EQ(ErrorOf(kPredict, request), InvalidArgument("Missing ModelSpec"));
  request.mutable_model_spec();
  EXPECT_EQ(ErrorOf(kPredict, request), InvalidArgument("ModelSpec has no name specified."));
  request.mutable_model_spec()->set_name("none");
  EXPECT_EQ(ErrorOf(kPredict, request),
            Error(StatusCode::kNotFound, "Servable not found for request: Latest(none)"));
  request = HalfRequest(1);
  request.mutable_model_spec()->mutable_version()->set_value(9);
  EXPECT_EQ(
      ErrorOf(kPredict, request),
      Error(StatusCode::kNotFound,
            "Servable not found for request: Specific(half, 9): the model has versions 1, 2"));
  request.mutable_model_spec()->set_version_label("other");
  EXPECT_EQ(ErrorOf(kPredict, request),
            InvalidArgument(
                "Unrecognized servable version label: other: the model has label \"stable\""));
  request = HalfRequest(1);
  request.mutable_model_spec()->set_signature_name("sig");
  EXPECT_EQ(
      ErrorOf(kPredict, request),
      Error(StatusCode::kFailedPrecondition,
            "Serving signature key \"sig\" not found. The model has {{\"serving_default\"}}."));
  request = HalfRequest(1);
  request.mutable_inputs()->at("x").set_tensor_content("abc");
  EXPECT_THAT(std::string(MessageOf(ErrorOf(kPredict, request))),
              HasSubstr("tensor parsing error: x"));
  EXPECT_EQ(Send(kPredict, "\xff").status.code(), StatusCode::kInvalidArgument);
}

TEST_F(TfsGrpcTest, CutsLongMessages) {
  PredictRequest request;
  request.mutable_model_spec()->set_name(std::string(5000, 'n'));
  const std::string text(MessageOf(ErrorOf(kPredict, request)));
  EXPECT_EQ(text.size(), 1024 + std::string_view("...TRUNCATED").size());
  EXPECT_THAT(text, testing::EndsWith("nnn...TRUNCATED"));
}

TEST_F(TfsGrpcTest, DoesNotRunAfterTheDeadline) {
  const Answer answer = Send(kPredict, HalfRequest(1).SerializeAsString(),
                             std::chrono::steady_clock::now() - std::chrono::seconds(1));
  EXPECT_EQ(answer.status.code(), StatusCode::kDeadlineExceeded);
}

TEST_F(TfsGrpcTest, ReturnsTheErrorOfTheModel) {
  InferResponse failed;
  failed.status = absl::DataLossError("broken");
  LoadScript({failed});
  PredictRequest request;
  request.mutable_model_spec()->set_name("script");
  EXPECT_EQ(ErrorOf(kPredict, request), absl::DataLossError("broken"));
}

TEST_F(TfsGrpcTest, RefusesAnswersInSeveralParts) {
  InferResponse first;
  first.is_last = false;
  LoadScript({first, InferResponse()});
  PredictRequest request;
  request.mutable_model_spec()->set_name("script");
  EXPECT_EQ(ErrorOf(kPredict, request).code(), StatusCode::kUnimplemented);
}

TEST_F(TfsGrpcTest, CountsRequestsOfServedModelsOnly) {
  Expect<PredictResponse>(kPredict, HalfRequest(1));
  Expect<PredictResponse>(kPredict, HalfRequest(1));
  PredictRequest unknown;
  unknown.mutable_model_spec()->set_name("made_up");
  EXPECT_FALSE(ErrorOf(kPredict, unknown).ok());
  const std::string text = registry_.Text();
  EXPECT_THAT(text, HasSubstr(":tensorflow:serving:request_count{model_name=\"half\","
                              "status=\"OK\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("API=\"Predict\",entrypoint=\"GRPC\""));
  EXPECT_THAT(text, HasSubstr("status=\"NOT_FOUND\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("made_up")));
}

TEST_F(TfsGrpcTest, DescribesSignatures) {
  GetModelMetadataRequest request;
  EXPECT_EQ(ErrorOf(kMetadata, request), InvalidArgument("Missing ModelSpec"));
  request.mutable_model_spec()->set_name("half");
  EXPECT_THAT(std::string(MessageOf(ErrorOf(kMetadata, request))),
              HasSubstr("must specify at least one metadata_field"));
  request.add_metadata_field("signature_def");
  const auto response = Expect<GetModelMetadataResponse>(kMetadata, request);
  EXPECT_EQ(response.model_spec().version().value(), 2);
  EXPECT_EQ(response.model_spec().signature_name(), "");
  const auto& any = response.metadata().at("signature_def");
  EXPECT_EQ(any.type_url(), "type.googleapis.com/tensorflow.serving.SignatureDefMap");
  tensorflow::serving::SignatureDefMap map;
  ASSERT_TRUE(any.UnpackTo(&map));
  const auto& signature = map.signature_def().at("serving_default");
  EXPECT_EQ(signature.inputs().at("x").dtype(), tensorflow::DT_FLOAT);
  EXPECT_EQ(signature.outputs().count("y"), 1u);
  request.add_metadata_field("graph");
  EXPECT_EQ(ErrorOf(kMetadata, request), InvalidArgument("Metadata field graph is not supported"));
  EXPECT_THAT(std::string(MessageOf(Send(kMetadata, "\xff").status)),
              HasSubstr("not a well-formed tensorflow.serving.GetModelMetadataRequest"));
}

TEST_F(TfsGrpcTest, KeepsVersionsForOtherServers) {
  GetModelStatusRequest request;
  request.mutable_model_spec()->set_name("half");
  Expect<GetModelStatusResponse>(kStatus, request);
  EXPECT_TRUE(leases_.empty());
  headers_ = {{"x-penstock-lease", "2,1"}};
  Expect<GetModelStatusResponse>(kStatus, request);
  EXPECT_EQ(leases_, (std::vector<core::ServableId>{{"half", {2}}, {"half", {1}}}));
  for (const std::string_view nothing : {"none", "", ",", "x,1", "1x"}) {
    leases_.clear();
    headers_ = {{"x-penstock-lease", nothing}};
    Expect<GetModelStatusResponse>(kStatus, request);
    EXPECT_TRUE(leases_.empty()) << nothing;
  }
  // Only other servers hear that a version stays for them.
  const uint64_t hold = manager_.Hold({"half", {1}});
  std::vector<core::AspiredVersion> newest;
  newest.push_back({{2}, MakeBuiltinLoader({"half", {2}}, "builtin:half_plus_two", registry_)});
  manager_.SetAspired("half", std::move(newest));
  EXPECT_TRUE(manager_.WaitUntilIdle());
  headers_ = {{"x-penstock-lease", "none"}};
  const auto response = Expect<GetModelStatusResponse>(kStatus, request);
  ASSERT_EQ(response.model_version_status().size(), 2);
  EXPECT_FALSE(response.model_version_status(0).is_leaving());
  EXPECT_EQ(response.model_version_status(1).state(),
            tensorflow::serving::ModelVersionStatus::AVAILABLE);
  EXPECT_TRUE(response.model_version_status(1).is_leaving());
  headers_.clear();
  EXPECT_FALSE(
      Expect<GetModelStatusResponse>(kStatus, request).model_version_status(1).is_leaving());
  manager_.EndHold("half", hold);
}

TEST_F(TfsGrpcTest, ReportsTheStatesOfVersions) {
  GetModelStatusRequest request;
  EXPECT_EQ(ErrorOf(kStatus, request), InvalidArgument("Missing ModelSpec"));
  request.mutable_model_spec();
  EXPECT_EQ(ErrorOf(kStatus, request), InvalidArgument("ModelSpec has no name specified."));
  request.mutable_model_spec()->set_name("none");
  EXPECT_EQ(ErrorOf(kStatus, request),
            Error(StatusCode::kNotFound, "Could not find any versions of model none"));
  request.mutable_model_spec()->set_name("half");
  auto response = Expect<GetModelStatusResponse>(kStatus, request);
  ASSERT_EQ(response.model_version_status_size(), 2);
  EXPECT_EQ(response.model_version_status(0).version(), 2);
  EXPECT_EQ(response.model_version_status(0).state(),
            tensorflow::serving::ModelVersionStatus::AVAILABLE);
  request.mutable_model_spec()->set_version_label("stable");
  response = Expect<GetModelStatusResponse>(kStatus, request);
  ASSERT_EQ(response.model_version_status_size(), 1);
  EXPECT_EQ(response.model_version_status(0).version(), 1);
  request.mutable_model_spec()->set_version_label("bogus");
  EXPECT_EQ(ErrorOf(kStatus, request),
            InvalidArgument(
                "Unrecognized servable version label: bogus: the model has label \"stable\""));
  request.mutable_model_spec()->mutable_version()->set_value(7);
  EXPECT_EQ(ErrorOf(kStatus, request),
            Error(StatusCode::kNotFound,
                  "Could not find version 7 of model half: the model has versions 1, 2"));
}

TEST_F(TfsGrpcTest, AReloadAnswersHowMuchMetricsHaveGrown) {
  registry_.AddCounter("loads", "For the test.", {{"model", "a"}}).Add(5);
  registry_.AddCounter("loads", "For the test.", {{"model", "b"}}).Add(7);
  registry_.AddGauge("models", "For the test.").Set(3);
  while_reloading_ = [this] {
    registry_.AddCounter("loads", "For the test.", {{"model", "a"}}).Add(2);
    registry_.AddGauge("models", "For the test.").Set(1);
  };
  ReloadConfigRequest request;
  request.mutable_config()->mutable_model_config_list();
  for (const char* name : {"models", "none", "loads"}) request.add_metric_names(name);
  const auto response = Expect<ReloadConfigResponse>(kReload, request);
  ASSERT_EQ(response.metric_size(), 2);
  EXPECT_EQ(response.metric(0).name(), "models");
  EXPECT_EQ(response.metric(0).int64_value_increase(), -2);
  EXPECT_EQ(response.metric(1).name(), "loads");
  EXPECT_EQ(response.metric(1).int64_value_increase(), 2) << "of its first series";
}

TEST_F(TfsGrpcTest, AReloadHasABoundedNumberOfMetricNames) {
  ReloadConfigRequest request;
  request.mutable_config()->mutable_model_config_list();
  for (size_t i = 0; i < kReloadMetricsMax; ++i) request.add_metric_names("none");
  Expect<ReloadConfigResponse>(kReload, request);
  request.add_metric_names("none");
  EXPECT_EQ(ErrorOf(kReload, request),
            InvalidArgument("ReloadConfigRequest has more than 1000 metric_names"));
}

// They are refused before they are built, so nothing is said about what they lack.
TEST_F(TfsGrpcTest, AReloadHasABoundedNumberOfConfigs) {
  const auto error_of = [this](size_t configs, size_t arms) {
    ReloadConfigRequest request;
    auto& list = *request.mutable_config()->mutable_model_config_list();
    for (size_t i = 0; i < configs; ++i) list.add_config();
    auto& traffic = *list.add_config()->mutable_penstock()->mutable_traffic();
    for (size_t i = 0; i < arms; ++i) traffic.add_arm();
    return ErrorOf(kReload, request);
  };
  const Status refused = Error(StatusCode::kResourceExhausted,
                               "ReloadConfigRequest has more than 500000 fields and values");
  EXPECT_THAT(std::string(MessageOf(error_of(kReloadFieldsMax / 2, 0))), HasSubstr("has no name"));
  EXPECT_EQ(error_of(kReloadFieldsMax, 0), refused);
  EXPECT_EQ(error_of(0, kReloadFieldsMax), refused);
  ReloadConfigRequest request;
  auto& specific = *request.mutable_config()
                        ->mutable_model_config_list()
                        ->add_config()
                        ->mutable_model_version_policy()
                        ->mutable_specific();
  for (size_t i = 0; i < kReloadFieldsMax; ++i) specific.add_versions(1);
  EXPECT_EQ(ErrorOf(kReload, request), refused);
}

TEST_F(TfsGrpcTest, ForwardsReloads) {
  ReloadConfigRequest request;
  auto& model = *request.mutable_config()->mutable_model_config_list()->add_config();
  model.set_name("new");
  model.set_base_path("/models/new");
  const auto response = Expect<ReloadConfigResponse>(kReload, request);
  EXPECT_EQ(response.status().error_code(), 0);
  ASSERT_EQ(reloads_.size(), 1u);
  const std::vector<ConfiguredModel>& models = std::get<ModelListChange>(reloads_[0].change).models;
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0].name, "new");
  EXPECT_EQ(models[0].base_path, "/models/new");
  EXPECT_TRUE(reloads_[0].is_wanted());
  EXPECT_EQ(response.metric_size(), 0);
  reload_status_ = absl::UnknownError("1 model(s) did not become available: {new: why}");
  EXPECT_EQ(ErrorOf(kReload, request), reload_status_);
}

TEST_F(TfsGrpcTest, RefusesReloadsWithoutAList) {
  EXPECT_THAT(std::string(MessageOf(ErrorOf(kReload, ReloadConfigRequest()))),
              testing::StartsWith("ServerModelConfig type not supported by "
                                  "HandleReloadConfigRequest. Only ModelConfigList is currently "
                                  "supported"));
  ReloadConfigRequest twice;
  for (int i = 0; i < 2; ++i) {
    auto& model = *twice.mutable_config()->mutable_model_config_list()->add_config();
    model.set_name("m");
    model.set_base_path("/m");
  }
  EXPECT_EQ(ErrorOf(kReload, twice),
            InvalidArgument(
                "ReloadConfigRequest: Illegal to list model m multiple times in config list"));
  EXPECT_EQ(Send(kReload, "\xff").status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(reloads_.empty());
}

TEST_F(TfsGrpcTest, ReloadsNeedAProtectedPortUnlessTheyAreAllowedOnAll) {
  ReloadConfigRequest request;
  request.mutable_config()->mutable_model_config_list();
  const auto status_with = [&](ReloadAccess access, const net::Endpoint& endpoint) {
    net::Router router;
    TfsGrpc frontend({}, engine_, registry_, access, reload_);
    frontend.Register(router);
    Answer answer;
    router.FindGrpc(kReload)->handler(net::GrpcCallRef(
        new FakeGrpcCall(request.SerializeAsString(), answer, kNoDeadline, endpoint, {})));
    return answer.status;
  };
  constexpr net::Endpoint kOpen, kTls{.is_tls = true};
  constexpr net::Endpoint kKnown{.is_tls = true, .demands_client_certificate = true};
  constexpr net::Endpoint kLocal{.is_local = true};
  for (const net::Endpoint& endpoint : {kOpen, kTls}) {
    const Status refused = status_with(ReloadAccess::kProtected, endpoint);
    EXPECT_EQ(refused.code(), StatusCode::kPermissionDenied);
    EXPECT_THAT(MessageOf(refused), HasSubstr("--reload_rpc=on"));
  }
  EXPECT_TRUE(reloads_.empty());
  EXPECT_EQ(status_with(ReloadAccess::kProtected, kKnown), OkStatus());
  EXPECT_EQ(status_with(ReloadAccess::kProtected, kLocal), OkStatus());
  EXPECT_EQ(status_with(ReloadAccess::kAll, kOpen), OkStatus());
  EXPECT_EQ(reloads_.size(), 3u);
  EXPECT_THAT(MessageOf(status_with(ReloadAccess::kNone, kLocal)), HasSubstr("--reload_rpc=off"));
}

TEST(ReloadAccessTest, IsThatOfTheFlag) {
  EXPECT_EQ(ReloadAccessOf("auto", /*stands_in_for_tfs=*/false, /*has_admin_port=*/false),
            ReloadAccess::kProtected);
  EXPECT_EQ(ReloadAccessOf("on", /*stands_in_for_tfs=*/false, /*has_admin_port=*/false),
            ReloadAccess::kAll);
  EXPECT_EQ(ReloadAccessOf("off", /*stands_in_for_tfs=*/false, /*has_admin_port=*/false),
            ReloadAccess::kNone);
}

TEST(ReloadAccessTest, CompatAllowsReloadsOnEveryPort) {
  EXPECT_EQ(ReloadAccessOf("auto", /*stands_in_for_tfs=*/true, /*has_admin_port=*/false),
            ReloadAccess::kAll);
  EXPECT_EQ(ReloadAccessOf("off", /*stands_in_for_tfs=*/true, /*has_admin_port=*/false),
            ReloadAccess::kNone);
  for (const bool stands_in : {false, true}) {
    EXPECT_EQ(ReloadAccessOf("auto", stands_in, /*has_admin_port=*/true), ReloadAccess::kAdminPort);
    EXPECT_EQ(ReloadAccessOf("on", stands_in, /*has_admin_port=*/true), ReloadAccess::kAll);
    EXPECT_EQ(ReloadAccessOf("off", stands_in, /*has_admin_port=*/true), ReloadAccess::kNone);
  }
}

template <typename Request>
Request ExamplesOfX(std::initializer_list<float> values) {
  Request request;
  request.mutable_model_spec()->set_name("half");
  for (const float value : values) {
    auto& example = *request.mutable_input()->mutable_example_list()->add_examples();
    (*example.mutable_features()->mutable_feature())["x"].mutable_float_list()->add_value(value);
  }
  return request;
}

TEST_F(TfsGrpcTest, ClassifiesAndRegressesExamplesWithAnyModel) {
  const auto classified =
      Expect<ClassificationResponse>(kClassify, ExamplesOfX<ClassificationRequest>({2, 4}));
  ASSERT_EQ(classified.result().classifications_size(), 2);
  EXPECT_EQ(classified.result().classifications(1).classes(0).score(), 4);
  EXPECT_EQ(classified.model_spec().version().value(), 2);
  auto request = ExamplesOfX<RegressionRequest>({2, 5});
  request.mutable_model_spec()->set_version_label("stable");
  for (int i = 0; i < 3; ++i) {
    const auto response = Expect<RegressionResponse>(kRegress, request);
    ASSERT_EQ(response.result().regressions_size(), 2);
    EXPECT_EQ(response.result().regressions(1).value(), 4.5);
    EXPECT_EQ(response.model_spec().version().value(), 1);
    EXPECT_EQ(response.model_spec().signature_name(), "serving_default");
    EXPECT_FALSE(ErrorOf(kRegress, RegressionRequest()).ok());
  }
}

TEST_F(TfsGrpcTest, RunsTheTasksOfMultiInference) {
  MultiInferenceRequest request;
  auto& task = *request.add_tasks();
  task.mutable_model_spec()->set_name("half");
  task.set_method_name("tensorflow/serving/regress");
  *request.mutable_input() = ExamplesOfX<ClassificationRequest>({6}).input();
  const auto response = Expect<tensorflow::serving::MultiInferenceResponse>(kMulti, request);
  EXPECT_EQ(response.results(0).regression_result().regressions(0).value(), 5);
  EXPECT_EQ(response.results(0).model_spec().version().value(), 2);
}

TEST_F(TfsGrpcTest, GivesTheErrorsOfTensorFlowServingForExamples) {
  EXPECT_EQ(ErrorOf(kClassify, ClassificationRequest()), InvalidArgument("Missing ModelSpec"));
  EXPECT_EQ(ErrorOf(kClassify, ExamplesOfX<ClassificationRequest>({})),
            InvalidArgument("Input is empty."));
  auto request = ExamplesOfX<ClassificationRequest>({1});
  request.mutable_model_spec()->set_signature_name("other");
  EXPECT_THAT(MessageOf(ErrorOf(kClassify, request)),
              testing::StartsWith("No signature was found with the name: other"));
  request.mutable_model_spec()->set_signature_name("");
  request.mutable_model_spec()->set_name("same");
  EXPECT_THAT(MessageOf(ErrorOf(kClassify, request)), HasSubstr("takes any tensors"));
  EXPECT_EQ(Send(kClassify, "\xff").status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(registry_.Text(), HasSubstr("request_count{model_name=\"half\",status=\"INVALID"));
}

TEST_F(TfsGrpcTest, LeavesOtherMethodsUnregistered) {
  EXPECT_EQ(router_.FindGrpc("/tensorflow.serving.SessionService/SessionRun"), nullptr);
  EXPECT_EQ(router_.FindGrpc(kPredict)->landing, &PredictLanding);
}

}  // namespace
}  // namespace penstock::tfs
