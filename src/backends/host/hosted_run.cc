// SPDX-License-Identifier: Apache-2.0
// The life of a run: HostedModel::Run creates it with two references. One belongs to the call that
// starts it, because the backend may give the last part, and so end the run, before its `run`
// function returns. The other belongs to the last part. `answered_` makes sure that only one last
// part reaches the client, whether it comes from the backend or from Fail. If a part is bad
// (`stream_status_`), the client gets no further outputs, and the error as its last part; the run
// itself ends only when the backend gives its last part.
#include "backends/host/hosted_run.h"

#include <algorithm>
#include <utility>

namespace penstock {
namespace {

int64_t Nanoseconds(SteadyTime time) {
  if (time == kNoDeadline) return INT64_MAX;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

// The position of `name` in `specs`, or -1. A linear search, because most signatures have few
// names.
ptrdiff_t IndexOf(const std::vector<TensorSpec>& specs, std::string_view name) {
  for (size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].name == name) return static_cast<ptrdiff_t>(i);
  }
  return -1;
}

}  // namespace

HostedRun::HostedRun(const abi::Description& model, RunQueue& queue, const InferRequest& request,
                     ResponseCallback done, DeadlineWatch& watch)
    : PenstockRequest{},
      model_(model),
      queue_(queue),
      infer_request_(request),
      done_(std::move(done)),
      signals_(request.cancel, request.deadline, request.flow, watch) {
  struct_size = sizeof(PenstockRequest);
  deadline_ns = Nanoseconds(request.deadline);
  request_id = request.request_id;
  respond = &Respond;
  stop_reason = &StopReason;
  on_stop = &OnStop;
  on_ready = &OnReady;
  allocate_output = &AllocateOutput;
}

void HostedRun::Unref() {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

Status HostedRun::Prepare() {
  TRY(AddSignature(infer_request_.signature_name));
  for (const FurtherSignature& further : infer_request_.further_signatures) {
    TRY(AddSignature(further.name));
  }
  signatures = signature_list_.data();
  signature_count = signature_list_.size();
  TRY(PrepareInputs());
  TRY(PrepareOutputs());
  for (const auto& [key, value] : infer_request_.options) {
    option_list_.push_back({abi::ToC(key), abi::ToC(value)});
  }
  options = option_list_.data();
  option_count = option_list_.size();
  return OkStatus();
}

Status HostedRun::AddSignature(std::string_view name) {
  const Signature* const found = model_.info.FindSignature(name);
  if (found != nullptr) [[likely]] {
    const auto index = static_cast<uint32_t>(found - model_.info.signatures.data());
    asked_.push_back({found, &model_.orders[index]});
    signature_list_.push_back({abi::ToC(found->name), index, 0});
    return OkStatus();
  }
  if (!model_.info.traits.any_signature) {
    return InvalidArgument("the model has no signature '{}'", name);
  }
  // The model answers for signatures that it has not described. It gets the name as the client sent
  // it.
  asked_.emplace_back();
  signature_list_.push_back({abi::ToC(name), PENSTOCK_NO_INDEX, 0});
  return OkStatus();
}

Status HostedRun::PrepareInputs() {
  const bool any = model_.info.traits.any_signature;
  const auto& [spec, order] = asked_.front();
  for (const NamedTensor& input : infer_request_.inputs) {
    PenstockNamedTensor& to = input_list_.emplace_back();
    to.name = abi::ToC(input.name);
    to.index = PENSTOCK_NO_INDEX;
    to.tensor = abi::ToC(input.tensor);
    if (spec == nullptr) continue;
    const ptrdiff_t index = IndexOf(spec->inputs, input.name);
    if (index >= 0) {
      to.index = order->inputs[static_cast<size_t>(index)];
    } else if (!any) {
      return InvalidArgument("the signature '{}' has no input '{}'", spec->name, input.name);
    }
  }
  inputs = input_list_.data();
  input_count = input_list_.size();
  return OkStatus();
}

Status HostedRun::PrepareOutputs() {
  TRY(AddOutputs(0, infer_request_.output_filter));
  uint32_t position = 0;
  for (const FurtherSignature& further : infer_request_.further_signatures) {
    TRY(AddOutputs(++position, further.output_filter));
  }
  outputs = output_list_.data();
  output_count = output_list_.size();
  return OkStatus();
}

Status HostedRun::AddOutputs(uint32_t position, const OutputFilter& filter) {
  const bool any = model_.info.traits.any_signature;
  const auto& [spec, order] = asked_[position];
  // The backend always gets the outputs by name and position. An empty filter means all outputs, so
  // they are listed below.
  for (const std::string_view wanted : filter) {
    const ptrdiff_t index = spec == nullptr ? -1 : IndexOf(spec->outputs, wanted);
    if (index < 0 && !any) {
      return InvalidArgument("the signature '{}' has no output '{}'", spec->name, wanted);
    }
    PenstockNamedTensor& to = output_list_.emplace_back();
    to.name = abi::ToC(wanted);
    to.index = index < 0 ? PENSTOCK_NO_INDEX : order->outputs[static_cast<size_t>(index)];
    to.signature = position;
  }
  if (!filter.empty() || spec == nullptr) return OkStatus();
  for (size_t i = 0; i < spec->outputs.size(); ++i) {
    PenstockNamedTensor& to = output_list_.emplace_back();
    to.name = abi::ToC(spec->outputs[i].name);
    to.index = order->outputs[i];
    to.signature = position;
  }
  return OkStatus();
}

Status HostedRun::StillWanted() const {
  switch (signals_.StopReason()) {
    case PENSTOCK_OK:
      return OkStatus();
    case PENSTOCK_CANCELLED:
      return absl::CancelledError("the request was cancelled");
    default:
      return absl::DeadlineExceededError("the deadline passed before the model ran");
  }
}

void HostedRun::Fail(Status status) {
  if (answered_.exchange(true)) return;
  InferResponse response;
  response.status = std::move(status);
  Finish(std::move(response));
}

void HostedRun::Finish(InferResponse response) {
  signals_.Clear();
  response.is_last = true;
  // The callback may destroy the request and the model, so do not use them afterwards.
  ResponseCallback done = std::move(done_);
  const RunQueue& queue = queue_;
  // The slot is passed on before the answer, because the queue may be gone after it. If a run waits
  // for the slot, it keeps the model, and so the queue, alive. It starts after the answer: it may
  // take long, and the answer must not wait for it.
  HostedRun* const next = queue_.Leave();
  Unref();
  done(std::move(response));
  if (next != nullptr) queue.StartNext(next);  // it keeps the model, and so the queue, alive
}

Status HostedRun::AppendOutput(const PenstockNamedTensor& output, InferResponse& response) const {
  StatusOr<Tensor> tensor = abi::FromC(output.tensor);
  if (output.signature >= asked_.size()) {
    return Error(StatusCode::kInternal,
                 "the backend gave an output of the signature at position {}, of {}",
                 output.signature, asked_.size());
  }
  const auto& [spec, order] = asked_[output.signature];
  std::string_view name;
  if (output.index != PENSTOCK_NO_INDEX && order != nullptr &&
      output.index < order->our_outputs.size()) {
    name = spec->outputs[order->our_outputs[output.index]].name;
  } else {
    name = abi::View(output.name);
    const ptrdiff_t index = spec == nullptr ? -1 : IndexOf(spec->outputs, name);
    if (index >= 0) {
      name = spec->outputs[static_cast<size_t>(index)].name;
    } else if (!model_.info.traits.any_signature) {
      return Error(StatusCode::kInternal, "the backend gave an output '{}' of no signature", name);
    }
  }
  if (!tensor.ok()) {
    // An answer that finds no memory is no mistake of the backend, and the client may try again.
    const bool is_memory = tensor.status().code() == StatusCode::kResourceExhausted;
    return Error(is_memory ? StatusCode::kResourceExhausted : StatusCode::kInternal,
                 "the backend gave a bad output '{}': {}", name, MessageOf(tensor.status()));
  }
  response.outputs.push_back({name, *std::move(tensor), output.signature});
  return OkStatus();
}

InferResponse HostedRun::ToResponse(const PenstockPart& part) {
  InferResponse response;
  response.status = abi::ToStatus(part.code, abi::View(part.message));
  response.is_last = part.is_last != 0;
  // Convert all outputs, also after an error, because this takes over their owners.
  for (const PenstockNamedTensor& output : std::span(part.outputs, part.output_count)) {
    Status appended = AppendOutput(output, response);
    if (!appended.ok() && response.status.ok()) response.status = std::move(appended);
  }
  const bool whole = response.is_last && !any_part_;
  if (whole && response.status.ok() && response.outputs.size() < output_count) {
    response.status = Error(StatusCode::kInternal, "the backend gave {} of the {} wanted outputs",
                            response.outputs.size(), output_count);
  }
  if (!response.status.ok()) response.outputs.clear();
  return response;
}

int32_t HostedRun::Respond(PenstockRequest* request, const PenstockPart* part) {
  auto* run = static_cast<HostedRun*>(request);
  InferResponse response = run->ToResponse(*part);
  // For the client the first bad part ends the stream. The backend must still give its last part.
  if (!run->stream_status_.ok()) response = {run->stream_status_, {}, response.is_last};
  if (part->is_last != 0 || part->code != PENSTOCK_OK) {
    if (!run->answered_.exchange(true)) run->Finish(std::move(response));
    return 0;
  }
  run->any_part_ = true;
  if (response.status.ok()) {
    run->done_(std::move(response));
  } else {
    run->stream_status_ = std::move(response.status);
  }
  return run->signals_.IsSlow() ? 1 : 0;
}

int32_t HostedRun::StopReason(const PenstockRequest* request) {
  return static_cast<const HostedRun*>(request)->signals_.StopReason();
}

void HostedRun::OnStop(PenstockRequest* request, void (*callback)(void*), void* argument) {
  RunSignals& signals = static_cast<HostedRun*>(request)->signals_;
  if (callback == nullptr) {
    signals.RemoveOnStop();
  } else {
    signals.OnStop(callback, argument);
  }
}

int32_t HostedRun::OnReady(PenstockRequest* request, void (*callback)(void*), void* argument) {
  RunSignals& signals = static_cast<HostedRun*>(request)->signals_;
  if (callback != nullptr) return signals.OnReady(callback, argument) ? 1 : 0;
  signals.RemoveOnReady();
  return 0;
}

void* HostedRun::AllocateOutput(PenstockRequest*, uint32_t, size_t bytes, PenstockOwner* owner) {
  return abi::Allocate(bytes, *owner);
}

}  // namespace penstock
