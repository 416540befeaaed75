// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/example_call.h"

#include <memory>
#include <utility>

#include "frontends/tfs_rest/examples_decoder.h"
#include "frontends/tfs_rest/rest_response.h"
#include "frontends/tfs_rest/results_encoder.h"

namespace penstock::tfs_rest {

void ExampleCall::Start(ExampleService& service, net::HttpCallRef call, RestTarget target) {
  // Release gives it back to the pool.
  ExampleCall* const self = CallPool<ExampleCall>::Take().release();
  self->service_ = &service;
  self->target_ = std::move(target);
  // The body belongs to the call, so this reference stays valid when `call` is moved.
  const Slice& body = call->body();
  self->NetCall::Start(service.engine, std::move(call), body);
}

Status ExampleCall::ReadSelector(ModelSelector& selector, InferRequest&) {
  selector = SelectorOf(target_);
  return OkStatus();
}

Status ExampleCall::Decode(const ModelInfo&, RequestMemory& memory, InferRequest& request) {
  examples_.Clear();  // of a first try on the event loop
  ASSIGN_OR_RETURN(const Slice message, DecodeExamples(call().body(), service_->options, memory));
  TRY(examples_.Scan(message, service_->api, /*tasks_max=*/1));
  return examples_.ReadInputs(model().examples(), memory, request);
}

StatusOr<ByteChain> ExampleCall::Encode(const NamedTensors& outputs, RequestMemory& memory) {
  ASSIGN_OR_RETURN(const tfs::ExampleResult result, examples_.Result(/*task=*/0, outputs));
  return EncodeResults(result, memory);
}

void ExampleCall::Send(ByteChain&& answer) { call().Respond(AnswerOf(model(), std::move(answer))); }

void ExampleCall::SendError(const Status& status) { RespondError(call(), status); }

void ExampleCall::Record(std::string_view model, StatusCode code, Duration latency) {
  service_->metrics.Record(model, code, latency);
}

void ExampleCall::Release() {
  Reset();
  examples_.Clear();
  CallPool<ExampleCall>::Give(std::unique_ptr<ExampleCall>(this));
}

}  // namespace penstock::tfs_rest
