// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_grpc/predict_call.h"

#include <memory>
#include <utility>
#include <vector>

#include "protocols/tfs/client_status.h"

namespace penstock::tfs {
namespace {

// States kept per thread; more are freed.
constexpr size_t kPooledMax = 64;

}  // namespace

// The states that a thread may reuse. One thread at a time.
struct PredictCall::Pool {
  std::vector<std::unique_ptr<PredictCall>> free;
};

PredictCall::Pool& PredictCall::ThreadPool() {
  thread_local Pool pool;
  return pool;
}

PredictCall* PredictCall::Take() {
  auto& free = ThreadPool().free;
  if (free.empty()) return new PredictCall;
  PredictCall* const taken = free.back().release();
  free.pop_back();
  return taken;
}

void PredictCall::Start(PredictService& service, net::GrpcCallRef call) {
  Take()->Read(service, std::move(call));
}

void PredictCall::Read(PredictService& service, net::GrpcCallRef call) {
  service_ = &service;
  call_ = std::move(call);
  Status status = ReadPredictRequest(call_->message(), service.options.limits, read_);
  if (status.ok() && !read_.has_model_spec) status = MissingModelSpec();
  if (!status.ok()) return Finish(status);
  StatusOr<ModelHandle> model = service.engine.FindToRun(read_.model, call_->head());
  if (model.status().code() == StatusCode::kUnavailable) [[unlikely]] {
    const auto when_loaded = [this](StatusOr<ModelHandle> loaded) {
      Run(std::move(loaded), /*is_on_loop=*/false);
    };
    if (service.engine.FindOnceLoaded(read_.model, &call_->head(), call_->deadline(),
                                      call_->cancel(), when_loaded)) {
      return;
    }
  }
  Run(std::move(model), /*is_on_loop=*/true);
}

void PredictCall::Run(StatusOr<ModelHandle> model, bool is_on_loop) {
  if (!model.ok()) return Finish(model.status());
  model_.emplace(*std::move(model));
  service_->engine.Decide(*model_, read_.request);

  InferRequest& request = read_.request;
  request.deadline = call_->deadline();
  request.cancel = &call_->cancel();
  request.request_id = call_->request_id();
  service_->engine.Run(*model_, request, /*may_run_inline=*/is_on_loop,
                       [this](InferResponse&& part) { OnPart(std::move(part)); });
}

void PredictCall::OnPart(InferResponse&& part) {
  if (!part.is_last) {
    had_parts_ = true;
    return;
  }
  Status status = std::move(part.status);
  if (status.ok() && had_parts_) {
    status =
        Error(StatusCode::kUnimplemented,
              "model {} answers in several parts, which Predict cannot send", model_->id().name);
  }
  if (status.ok()) status = Answer(part);
  if (!status.ok()) return Finish(status);
  service_->metrics.Record(model_->id().name, StatusCode::kOk,
                           service_->clock.Now() - call_->start());
  part.outputs.clear();  // their names are the request's and the model's
  Recycle();
}

Status PredictCall::Answer(const InferResponse& response) {
  const std::string_view signature = read_.request.signature_name;
  const AnsweringModel model{model_->id().name, model_->id().version,
                             signature.empty() ? kDefaultSignatureName : signature};
  StatusOr<ByteChain> message = WritePredictResponse(
      {response.outputs.data(), response.outputs.size()}, model, service_->options.write);
  if (message.ok()) call_->Respond(*std::move(message));
  return message.status();
}

void PredictCall::Finish(const Status& status) {
  service_->metrics.Record(model_ ? std::string_view(model_->id().name) : std::string_view(),
                           status.code(), service_->clock.Now() - call_->start());
  call_->Finish(Truncated(status));
  Recycle();
}

void PredictCall::Recycle() {
  read_.Clear();
  model_.reset();
  call_ = {};
  had_parts_ = false;
  auto& free = ThreadPool().free;
  if (free.size() < kPooledMax) {
    free.emplace_back(this);
  } else {
    delete this;
  }
}

}  // namespace penstock::tfs
