// SPDX-License-Identifier: Apache-2.0
// The peer for gRPC figures: a grpc++ server that parses PredictRequest or ClassificationRequest,
// computes y = x / 2 + 2, and answers as TensorFlow Serving would. It resolves no model and keeps
// no metrics, which is in its favour.
//   grpc_predict sync|callback PORT
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "serving/prediction_service.grpc.pb.h"

namespace {

using tensorflow::serving::ClassificationRequest;
using tensorflow::serving::ClassificationResponse;
using tensorflow::serving::ModelSpec;
using tensorflow::serving::PredictionService;
using tensorflow::serving::PredictRequest;
using tensorflow::serving::PredictResponse;

void FillSpec(const ModelSpec& asked, ModelSpec& answering) {
  answering.set_name(asked.name());
  answering.set_signature_name("serving_default");
  answering.mutable_version()->set_value(1);
}

// Reads the floats of either encoding and writes the answer in the default one.
grpc::Status Answer(const PredictRequest& request, PredictResponse* response) {
  const auto input = request.inputs().find("x");
  if (input == request.inputs().end()) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "input x is missing"};
  }
  const tensorflow::TensorProto& x = input->second;
  tensorflow::TensorProto& y = (*response->mutable_outputs())["y"];
  y.set_dtype(tensorflow::DT_FLOAT);
  *y.mutable_tensor_shape() = x.tensor_shape();
  if (!x.tensor_content().empty()) {
    const auto* values = reinterpret_cast<const float*>(x.tensor_content().data());
    const size_t count = x.tensor_content().size() / sizeof(float);
    y.mutable_float_val()->Reserve(static_cast<int>(count));
    for (size_t i = 0; i < count; ++i) y.add_float_val(values[i] / 2 + 2);
  } else {
    for (const float value : x.float_val()) y.add_float_val(value / 2 + 2);
  }
  FillSpec(request.model_spec(), *response->mutable_model_spec());
  return grpc::Status::OK;
}

// Takes the feature "x" of each Example. Its result is the score.
grpc::Status AnswerExamples(const ClassificationRequest& request,
                            ClassificationResponse* response) {
  for (const tensorflow::Example& example : request.input().example_list().examples()) {
    const auto& features = example.features().feature();
    const auto x = features.find("x");
    if (x == features.end() || x->second.float_list().value_size() != 1) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "feature x must have one float"};
    }
    const float score = x->second.float_list().value(0) / 2 + 2;
    response->mutable_result()->add_classifications()->add_classes()->set_score(score);
  }
  FillSpec(request.model_spec(), *response->mutable_model_spec());
  return grpc::Status::OK;
}

// Answers on the threads of the synchronous API. Thread-safe.
class SyncService final : public PredictionService::Service {
  grpc::Status Predict(grpc::ServerContext*, const PredictRequest* request,
                       PredictResponse* response) override {
    return Answer(*request, response);
  }
  grpc::Status Classify(grpc::ServerContext*, const ClassificationRequest* request,
                        ClassificationResponse* response) override {
    return AnswerExamples(*request, response);
  }
};

// Answers with the callback API. Thread-safe.
class CallbackService final : public PredictionService::CallbackService {
  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const PredictRequest* request,
                                    PredictResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(Answer(*request, response));
    return reactor;
  }
  grpc::ServerUnaryReactor* Classify(grpc::CallbackServerContext* context,
                                     const ClassificationRequest* request,
                                     ClassificationResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(AnswerExamples(*request, response));
    return reactor;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: grpc_predict sync|callback PORT\n");
    return 2;
  }
  SyncService sync;
  CallbackService callback;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.AddListeningPort("127.0.0.1:" + std::string(argv[2]), grpc::InsecureServerCredentials());
  if (std::string(argv[1]) == "sync") {
    builder.RegisterService(&sync);
  } else {
    builder.RegisterService(&callback);
  }
  builder.BuildAndStart()->Wait();
}
