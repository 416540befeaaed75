// SPDX-License-Identifier: Apache-2.0
// The steps that InferCall asks for. An answer of GraphPipe has no names, so the order of its
// tensors is all that a client has. The request log gets protobuf messages, because its readers are
// those of TensorFlow Serving's logs.
#include "frontends/graphpipe/infer_call.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_split.h"
#include "calls/model_trailers.h"
#include "frontends/graphpipe/graphpipe_response.h"
#include "protocols/tfs/predict_writer.h"

namespace penstock::graphpipe {
namespace {

Counter& CopiedCounter(MetricsRegistry& registry, const char* direction) {
  return registry.AddCounter("penstock_graphpipe_copied_bytes_total",
                             "Bytes of tensors of GraphPipe requests (in) and answers (out) that "
                             "were copied or converted: small, misaligned, strings, bfloat16.",
                             {{"direction", direction}});
}

}  // namespace

InferService::InferService(const GraphPipeOptions& options, Engine& the_engine,
                           MetricsRegistry& registry, const RequestLogs* request_logs)
    : in_band_errors(options.in_band_errors),
      named_outputs(absl::StrSplit(options.named_outputs, ',', absl::SkipEmpty())),
      engine(the_engine),
      logs(request_logs),
      metrics(registry, "predict", "GraphPipe"),
      copied_in(CopiedCounter(registry, "in")),
      copied_out(CopiedCounter(registry, "out")) {}

void GraphPipeInferCall::Start(InferService& service, net::HttpCallRef call,
                               GraphPipeTarget target) {
  // Release gives it back to the pool.
  GraphPipeInferCall* const self = CallPool<GraphPipeInferCall>::Take().release();
  self->service_ = &service;
  self->target_ = std::move(target);
  // The body belongs to the call, so this reference stays valid when `call` is moved.
  const Slice& body = call->body();
  self->NetCall::Start(service.engine, std::move(call), body);
}

bool GraphPipeInferCall::PeekSelector(ModelSelector& selector) const {
  selector = SelectorOf(target_);
  return true;
}

Status GraphPipeInferCall::ReadSelector(ModelSelector& selector, InferRequest&) {
  selector = SelectorOf(target_);
  return OkStatus();
}

Status GraphPipeInferCall::Decode(const ModelInfo& info, RequestMemory& memory,
                                  InferRequest& request) {
  request.signature_name = target_.signature_name;
  TRY(reader_.Read(call().body(), info, {}, memory, request));
  if (reader_.copied_bytes() > 0) service_->copied_in.Add(reader_.copied_bytes());
  if (!service_->named_outputs.empty() && request.output_filter.empty())
    ChooseOutputs(info, request);
  return OkStatus();
}

void GraphPipeInferCall::ChooseOutputs(const ModelInfo& info, InferRequest& request) const {
  const Signature* const signature = info.FindSignature(request.signature_name);
  if (signature == nullptr || info.traits.any_signature) return;
  const auto wants_name = [&](const TensorSpec& spec) {
    return std::ranges::find(service_->named_outputs, spec.name) != service_->named_outputs.end();
  };
  // If all want to be named, an answer without any would be of no use.
  if (std::ranges::all_of(signature->outputs, wants_name)) return;
  for (size_t i = 0; i < signature->outputs.size(); ++i) {
    const TensorSpec& spec = AtPlace(signature->outputs, i);
    if (!wants_name(spec)) request.output_filter.push_back(spec.name);
  }
}

StatusOr<NamedTensors> GraphPipeInferCall::InOrder(const NamedTensors& outputs) const {
  OutputFilter wanted = request().output_filter;
  const ModelInfo& info = model().info();
  if (wanted.empty()) {
    const Signature* const signature = info.FindSignature(request().signature_name);
    if (signature == nullptr || info.traits.any_signature) return outputs;
    for (size_t i = 0; i < signature->outputs.size(); ++i)
      wanted.push_back(AtPlace(signature->outputs, i).name);
  }
  NamedTensors ordered;
  for (size_t i = 0; i < wanted.size(); ++i) {
    // Most models answer in this order already.
    const auto is_wanted = [&](const NamedTensor& output) { return output.name == wanted[i]; };
    const auto at = i < outputs.size() && is_wanted(outputs[i])
                        ? outputs.begin() + static_cast<ptrdiff_t>(i)
                        : std::ranges::find_if(outputs, is_wanted);
    if (at == outputs.end())
      return Error(StatusCode::kInternal, "the model has not answered with its output '{:.100}'",
                   wanted[i]);
    ordered.push_back(*at);
  }
  return ordered;
}

StatusOr<ByteChain> GraphPipeInferCall::Encode(const NamedTensors& outputs, RequestMemory& memory) {
  ASSIGN_OR_RETURN(const NamedTensors ordered, InOrder(outputs));
  uint64_t copied = 0;
  StatusOr<ByteChain> answer =
      WriteInferResponse({ordered.data(), ordered.size()}, {}, memory, &copied);
  if (copied > 0) service_->copied_out.Add(copied);
  if (answer.ok() && log_.IsSampled(service_->logs, model())) AppendToLog(outputs);
  return answer;
}

// The log has the messages that a gRPC client would have sent and received.
void GraphPipeInferCall::AppendToLog(const NamedTensors& outputs) {
  const std::string_view signature = request().signature_name;
  const StatusOr<ByteChain> message = tfs::WritePredictResponse(
      {outputs.data(), outputs.size()},
      {.name = model().id().name,
       .version = model().id().version,
       .signature_name = signature.empty() ? kDefaultSignatureName : signature});
  if (message.ok()) log_.Append(*message);
}

void GraphPipeInferCall::WriteLog() {
  if (!log_.has_answer()) return;
  const NamedTensors& inputs = request().inputs;
  const StatusOr<ByteChain> message = tfs::WritePredictRequest(
      {inputs.data(), inputs.size()}, {.name = target_.name,
                                       .version = target_.version,
                                       .signature_name = request().signature_name,
                                       .label = target_.label});
  if (message.ok())
    log_.Write(AnswerLog::Kind::kPredict, model(), request().signature_name, *message);
}

void GraphPipeInferCall::Send(ByteChain&& answer) {
  WriteLog();
  RespondMessage(call(), std::move(answer), FieldsOf(model()));
}

void GraphPipeInferCall::SendError(const Status& status) {
  if (service_->in_band_errors) return RespondInBandError(call(), status);
  RespondError(call(), status);
}

void GraphPipeInferCall::Record(std::string_view model, StatusCode code, Duration latency) {
  service_->metrics.Record(model, code, latency);
}

void GraphPipeInferCall::Release() {
  Reset();
  reader_.Clear();
  log_.Clear();
  CallPool<GraphPipeInferCall>::Give(std::unique_ptr<GraphPipeInferCall>(this));
}

}  // namespace penstock::graphpipe
