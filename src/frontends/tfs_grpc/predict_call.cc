// SPDX-License-Identifier: Apache-2.0
// The steps that InferCall (infer/infer_call.h) asks for, in the order of the calls: ReadSelector,
// Decode, Encode, Send, Release. Objects come from a pool and keep the memory of their last
// request, so a small call allocates memory only for its answer.
#include "frontends/tfs_grpc/predict_call.h"

#include <memory>
#include <utility>

#include "calls/model_trailers.h"
#include "protocols/tfs/client_status.h"
#include "protocols/tfs/model_spec_reader.h"

namespace penstock::tfs {

void PredictCall::Start(PredictService& service, net::GrpcCallRef call) {
  // Release gives it back to the pool.
  PredictCall* const self = CallPool<PredictCall>::Take().release();
  self->service_ = &service;
  // The message belongs to the call, so this reference stays valid when `call` is moved.
  const Slice& message = call->message();
  if (service.answer == PredictAnswer::kStream) {
    self->StartInParts(service.engine, std::move(call), message);
  } else {
    self->NetCall::Start(service.engine, std::move(call), message);
  }
}

bool PredictCall::PeekSelector(ModelSelector& selector) const {
  return PeekModelSpec(call().message(), selector);
}

Status PredictCall::ReadSelector(ModelSelector& selector, InferRequest& request) {
  // The whole message, although only the ModelSpec is needed now: fields may have any order.
  TRY(scan_.Scan(call().message(), service_->options.limits.names_max, request));
  if (!scan_.has_model_spec()) return MissingModelSpec();
  selector = scan_.model();
  return OkStatus();
}

Status PredictCall::Decode(const ModelInfo&, RequestMemory& memory, InferRequest& request) {
  // A TensorProto says its own type, so the model's signature is not needed.
  return scan_.ReadTensors(memory, request);
}

StatusOr<ByteChain> PredictCall::Encode(const NamedTensors& outputs, RequestMemory& memory) {
  const std::string_view signature = request().signature_name;
  const ModelSpecFields answering{model().id().name, model().id().version,
                                  // TensorFlow Serving's answer names the signature that was used,
                                  // also if the request did not.
                                  signature.empty() ? kDefaultSignatureName : signature};
  return WritePredictResponse({outputs.data(), outputs.size()}, answering, service_->options.write,
                              &memory);
}

void PredictCall::Send(ByteChain&& answer) {
  if (log_.IsSampled(service_->logs, model())) {
    log_.Append(answer);
    log_.Write(AnswerLog::Kind::kPredict, model(), request().signature_name,
               ByteChain(call().message()));
  }
  call().Respond(std::move(answer), TrailersOf(model()));
}

void PredictCall::SendPart(ByteChain&& part) {
  if (log_.IsSampled(service_->logs, model())) log_.Append(part);
  WritePart(std::move(part));
}

void PredictCall::EndParts() {
  log_.Write(AnswerLog::Kind::kPredictStreamed, model(), request().signature_name,
             ByteChain(call().message()));
  call().Finish(OkStatus(), FieldsOf(model()));
}

void PredictCall::SendError(const Status& status) {
  call().Finish(Truncated(status), PushbackOf(status));
}

void PredictCall::Record(std::string_view model, StatusCode code, Duration latency) {
  service_->metrics.Record(model, code, latency);
}

void PredictCall::Release() {
  Reset();
  scan_.Clear();
  log_.Clear();
  CallPool<PredictCall>::Give(std::unique_ptr<PredictCall>(this));
}

}  // namespace penstock::tfs
