// SPDX-License-Identifier: Apache-2.0
// The peer for gRPC figures: a grpc++ server that parses PredictRequest, computes y = x / 2 + 2,
// and answers as TensorFlow Serving would. It resolves no model and keeps no metrics, which is in
// its favour.
//   grpc_predict sync|callback PORT
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "serving/prediction_service.grpc.pb.h"

namespace {

using tensorflow::serving::PredictionService;
using tensorflow::serving::PredictRequest;
using tensorflow::serving::PredictResponse;

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
  response->mutable_model_spec()->set_name(request.model_spec().name());
  response->mutable_model_spec()->set_signature_name("serving_default");
  response->mutable_model_spec()->mutable_version()->set_value(1);
  return grpc::Status::OK;
}

// Answers on the threads of the synchronous API. Thread-safe.
class SyncService final : public PredictionService::Service {
  grpc::Status Predict(grpc::ServerContext*, const PredictRequest* request,
                       PredictResponse* response) override {
    return Answer(*request, response);
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
