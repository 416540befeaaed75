// SPDX-License-Identifier: Apache-2.0
// The steps that InferCall asks for, by the format of the body. The format of the request and that
// of the answer are chosen separately, from Content-Type and Accept. A part of an answer in parts
// is one server-sent event; the first event carries the head with it, so that an error before it
// still has its own HTTP status. The log gets protobuf messages whatever the client sent, because
// its readers are those of TensorFlow Serving's logs.
#include "frontends/tfs_rest/predict_call.h"

#include <memory>
#include <utility>

#include "frontends/tfs_rest/rest_response.h"
#include "net/headers.h"
#include "protocols/tfs_json/predict_encoder.h"

namespace penstock::tfs_rest {
namespace {

Slice StaticSlice(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size(), {}};
}

}  // namespace

void PredictCall::Start(PredictService& service, net::HttpCallRef call, RestTarget target) {
  // Release gives it back to the pool.
  PredictCall* const self = CallPool<PredictCall>::Take().release();
  self->service_ = &service;
  self->target_ = std::move(target);
  const auto& headers = call->head().headers;
  self->format_ = BodyFormatOf(net::FindHeader(headers, "content-type"));
  const std::string_view accept = net::FindHeader(headers, "accept");
  const bool wants_events = WantsEvents(accept);
  self->answer_format_ = wants_events ? BodyFormat::kJson : AnswerFormatFor(accept, self->format_);
  // The body belongs to the call, so this reference stays valid when `call` is moved.
  const Slice& body = call->body();
  if (wants_events) {
    self->StartInParts(service.engine, std::move(call), body);
  } else {
    self->NetCall::Start(service.engine, std::move(call), body);
  }
}

bool PredictCall::PeekSelector(ModelSelector& selector) const {
  selector = SelectorOf(target_);
  return true;
}

Status PredictCall::ReadSelector(ModelSelector& selector, InferRequest&) {
  selector = SelectorOf(target_);
  return OkStatus();
}

Status PredictCall::Decode(const ModelInfo& info, RequestMemory& memory, InferRequest& request) {
  const Slice& body = call().body();
  switch (format_) {
    case BodyFormat::kJson: {
      // The answer will have the form of the request, rows or columns.
      ASSIGN_OR_RETURN(json_form_, tfs_json::DecodePredictRequest(
                                       body, info, service_->options.decoder, memory, request));
      return OkStatus();
    }
    case BodyFormat::kProtobuf:
      return DecodeProtobuf(memory, request);
    case BodyFormat::kNpy:
      TRY(ReadQuery(request));
      return DecodeNpy(body, info, memory, request);
    case BodyFormat::kNpz:
      TRY(ReadQuery(request));
      return DecodeNpz(body, info, service_->options.decoder.inputs_max, memory, request);
  }
  return absl::InternalError("no such format");
}

// The path names the model. A message that asks for something else is a mistake of the client, and
// an answer of the other model would hide it.
Status PredictCall::DecodeProtobuf(RequestMemory& memory, InferRequest& request) {
  TRY(scan_.Scan(call().body(), tfs::PredictReadLimits{}.names_max, request));
  const ModelSelector& named = scan_.model();
  const bool is_other_version = named.version.has_value() && named.version != target_.version;
  if ((!named.name.empty() && named.name != target_.name) || is_other_version ||
      (!named.label.empty() && named.label != target_.label)) {
    return InvalidArgument(
        "the model_spec of the PredictRequest names another model, version or label than the path "
        "{:.256}: leave them out of the message, or say the same in both",
        call().head().path);
  }
  return scan_.ReadTensors(memory, request);
}

Status PredictCall::ReadQuery(InferRequest& request) {
  ASSIGN_OR_RETURN(query_, ParseNumpyQuery(call().head().query));
  request.signature_name = query_.signature_name;
  request.output_filter.assign(query_.output_filter.begin(), query_.output_filter.end());
  return OkStatus();
}

StatusOr<ByteChain> PredictCall::Encode(const NamedTensors& outputs, RequestMemory& memory) {
  StatusOr<ByteChain> answer = EncodeAnswer(outputs, memory);
  if (answer.ok() && log_.IsSampled(service_->logs, model())) AppendToLog(outputs);
  return answer;
}

// The log has the messages that a gRPC client would have sent and received.
void PredictCall::AppendToLog(const NamedTensors& outputs) {
  RequestMemory uncounted(UINT64_MAX);
  const StatusOr<ByteChain> message = EncodeProtobuf(outputs, uncounted);
  if (message.ok()) log_.Append(*message);
}

void PredictCall::WriteLog() {
  if (!log_.has_answer()) return;
  const NamedTensors& inputs = request().inputs;
  const StatusOr<ByteChain> message = tfs::WritePredictRequest(
      {inputs.data(), inputs.size()}, {.name = target_.name,
                                       .version = target_.version,
                                       .signature_name = request().signature_name,
                                       .label = target_.label});
  if (!message.ok()) return;
  log_.Write(is_in_parts() ? AnswerLog::Kind::kPredictStreamed : AnswerLog::Kind::kPredict, model(),
             request().signature_name, *message);
}

StatusOr<ByteChain> PredictCall::EncodeAnswer(const NamedTensors& outputs, RequestMemory& memory) {
  switch (answer_format_) {
    case BodyFormat::kJson:
      return tfs_json::EncodePredictResponse(json_form_, outputs, &memory);
    case BodyFormat::kProtobuf:
      return EncodeProtobuf(outputs, memory);
    case BodyFormat::kNpy:
      return EncodeNpy(outputs, memory);
    case BodyFormat::kNpz:
      return EncodeNpz(outputs, memory);
  }
  return absl::InternalError("no such format");
}

StatusOr<ByteChain> PredictCall::EncodeProtobuf(const NamedTensors& outputs,
                                                RequestMemory& memory) const {
  const std::string_view signature = request().signature_name;
  return tfs::WritePredictResponse(
      {outputs.data(), outputs.size()},
      {.name = model().id().name,
       .version = model().id().version,
       .signature_name = signature.empty() ? kDefaultSignatureName : signature},
      service_->options.write, &memory);
}

void PredictCall::Send(ByteChain&& answer) {
  net::HttpResponse response = AnswerOf(model(), std::move(answer));
  response.content_type = ContentTypeOf(answer_format_);
  // Most HTTP libraries accept gzip unasked. Compressing floats takes long and gains little, so a
  // client must compress its requests to get compressed tensors.
  response.compress = answer_format_ == BodyFormat::kJson ||
                      !net::FindHeader(call().head().headers, "content-encoding").empty();
  WriteLog();
  call().Respond(std::move(response));
}

// --- server-sent events: one for each part, then "end" or "error"

// Sent with the first event, so that an error before it has its own HTTP status.
void PredictCall::BeginEvents() {
  if (std::exchange(has_begun_events_, true)) return;
  net::HttpResponse response = AnswerOf(model(), {});
  response.content_type = "text/event-stream";
  response.headers.emplace_back("cache-control", "no-cache");
  call().RespondInParts(std::move(response),
                        {.at_deadline = "event: error\n"
                                        "data: {\"error\": \"the server did not answer within its "
                                        "time limit\", \"code\": \"DEADLINE_EXCEEDED\"}\n\n",
                         .at_stop = "event: error\n"
                                    "data: {\"error\": \"the server shut down before the answer "
                                    "was complete\", \"code\": \"UNAVAILABLE\"}\n\n"});
}

void PredictCall::SendPart(ByteChain&& part) {
  BeginEvents();
  // The JSON is one line, and ends in a line break. An empty line ends the event.
  ByteChain event(StaticSlice("data: "));
  event.Append(std::move(part));
  event.Append(StaticSlice("\n"));
  WritePart(std::move(event));
}

void PredictCall::EndParts() {
  WriteLog();
  WritePart(ByteChain(StaticSlice("event: end\ndata: {}\n\n")));
  call().EndBody();
}

void PredictCall::SendError(const Status& status) {
  if (!has_begun_events_) return RespondError(call(), status);
  WritePart(ByteChain(WholeSlice(CopyToBuffer(ErrorEvent(status)))));
  call().EndBody();
}

void PredictCall::Record(std::string_view model, StatusCode code, Duration latency) {
  service_->metrics.Record(model, code, latency);
}

void PredictCall::Release() {
  Reset();
  scan_.Clear();
  json_form_ = tfs_json::PredictFormat::kColumn;
  has_begun_events_ = false;
  log_.Clear();
  CallPool<PredictCall>::Give(std::unique_ptr<PredictCall>(this));
}

}  // namespace penstock::tfs_rest
