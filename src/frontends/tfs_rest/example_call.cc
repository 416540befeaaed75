// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/example_call.h"

#include <memory>
#include <utility>

#include "frontends/tfs_rest/examples_decoder.h"
#include "frontends/tfs_rest/rest_response.h"
#include "frontends/tfs_rest/results_encoder.h"
#include "protocols/tfs/model_spec_writer.h"

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

bool ExampleCall::PeekSelector(ModelSelector& selector) const {
  selector = SelectorOf(target_);
  return true;
}

Status ExampleCall::ReadSelector(ModelSelector& selector, InferRequest&) {
  selector = SelectorOf(target_);
  return OkStatus();
}

Status ExampleCall::Decode(const ModelInfo&, RequestMemory& memory, InferRequest& request) {
  examples_.Clear();  // of a first try on the event loop
  ASSIGN_OR_RETURN(message_, DecodeExamples(call().body(), service_->options, memory));
  TRY(examples_.Scan(message_, service_->api, /*tasks_max=*/1));
  return examples_.ReadInputs(model().examples(), memory, request);
}

StatusOr<ByteChain> ExampleCall::Encode(const NamedTensors& outputs, RequestMemory& memory) {
  ASSIGN_OR_RETURN(const tfs::ExampleResult result, examples_.Result(/*task=*/0, outputs));
  if (log_.IsSampled(service_->logs, model())) Log(outputs);
  return EncodeResults(result, memory);
}

// The log has the messages that a gRPC client would have sent and received.
void ExampleCall::Log(const NamedTensors& outputs) {
  RequestMemory uncounted(UINT64_MAX);
  const StatusOr<ByteChain> response = examples_.Write(outputs, model().id(), uncounted);
  if (!response.ok()) return;
  log_.Append(*response);
  ByteChain logged(message_);
  logged.Append(tfs::MakeModelSpec(
      1, {.name = target_.name, .version = target_.version, .label = target_.label}));
  const bool is_classify = service_->api == tfs::ExampleApi::kClassify;
  log_.Write(is_classify ? AnswerLog::Kind::kClassify : AnswerLog::Kind::kRegress, model(),
             request().signature_name, logged);
}

void ExampleCall::Send(ByteChain&& answer) { call().Respond(AnswerOf(model(), std::move(answer))); }

void ExampleCall::SendError(const Status& status) { RespondError(call(), status); }

void ExampleCall::Record(std::string_view model, StatusCode code, Duration latency) {
  service_->metrics.Record(model, code, latency);
  if (!model.empty() && examples_.count() > 0)
    service_->metrics.RecordExamples(model, examples_.count());
}

void ExampleCall::Release() {
  Reset();
  examples_.Clear();
  message_ = {};
  log_.Clear();
  CallPool<ExampleCall>::Give(std::unique_ptr<ExampleCall>(this));
}

}  // namespace penstock::tfs_rest
