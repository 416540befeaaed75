// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_grpc/example_call.h"

#include <memory>
#include <utility>

#include "calls/model_trailers.h"
#include "protocols/tfs/client_status.h"
#include "protocols/tfs/model_spec_reader.h"

namespace penstock::tfs {
namespace {

AnswerLog::Kind KindOf(ExampleApi api) {
  switch (api) {
    case ExampleApi::kClassify:
      return AnswerLog::Kind::kClassify;
    case ExampleApi::kRegress:
      return AnswerLog::Kind::kRegress;
    case ExampleApi::kMultiInference:
      break;
  }
  return AnswerLog::Kind::kMultiInference;
}

}  // namespace

void ExampleCall::Start(ExampleService& service, net::GrpcCallRef call) {
  // Release gives it back to the pool.
  ExampleCall* const self = CallPool<ExampleCall>::Take().release();
  self->service_ = &service;
  // The message belongs to the call, so this reference stays valid when `call` is moved.
  const Slice& message = call->message();
  self->NetCall::Start(service.engine, std::move(call), message);
}

bool ExampleCall::PeekSelector(ModelSelector& selector) const {
  return PeekModelSpec(call().message(), selector);
}

Status ExampleCall::ReadSelector(ModelSelector& selector, InferRequest&) {
  TRY(examples_.Scan(call().message(), service_->api, service_->tasks_max));
  if (!examples_.has_model_spec()) return MissingModelSpec();
  selector = examples_.model();
  return OkStatus();
}

Status ExampleCall::Decode(const ModelInfo&, RequestMemory& memory, InferRequest& request) {
  return examples_.ReadInputs(model().examples(), memory, request);
}

StatusOr<ByteChain> ExampleCall::Encode(const NamedTensors& outputs, RequestMemory& memory) {
  return examples_.Write(outputs, model().id(), memory);
}

void ExampleCall::Send(ByteChain&& answer) {
  if (log_.IsSampled(service_->logs, model())) {
    log_.Append(answer);
    log_.Write(KindOf(service_->api), model(), request().signature_name,
               ByteChain(call().message()));
  }
  call().Respond(std::move(answer), TrailersOf(model()));
}

void ExampleCall::SendError(const Status& status) {
  call().Finish(Truncated(status), PushbackOf(status));
}

void ExampleCall::Record(std::string_view model, StatusCode code, Duration latency) {
  service_->metrics.Record(model, code, latency);
  if (!model.empty() && examples_.count() > 0)
    service_->metrics.RecordExamples(model, examples_.count());
}

void ExampleCall::Release() {
  Reset();
  examples_.Clear();
  log_.Clear();
  CallPool<ExampleCall>::Give(std::unique_ptr<ExampleCall>(this));
}

}  // namespace penstock::tfs
