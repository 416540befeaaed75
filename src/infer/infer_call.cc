// SPDX-License-Identifier: Apache-2.0
// The order of the steps, and why. The names are read first, because they are cheap, and a request
// for an unknown model must cost no memory for tensors. The permission is checked before the
// search, so that the answer does not depend on whether the model exists.
//
// The thread. A request starts on an event loop and stays there, since a hop to the pool costs more
// than a small request. It moves to the compute pool when it could hold up the loop: if its body is
// large, if it had to wait for a load, or if Decode runs into the limit for loops. In the last case
// Decode runs again from the start, because half a request cannot be handed over. Once on the pool,
// the run stays on that thread.
//
// Errors. Every path ends in Finish, exactly once, and then Release. If the answer fails while the
// model still runs, the client gets the error at once (failure_), and Finish waits for the model's
// last part: until then the model may use the request.
#include "infer/infer_call.h"

#include <charconv>
#include <new>
#include <utility>

#include "access/caller.h"
#include "base/calls/thread_time.h"
#include "base/check.h"
#include "infer/batcher.h"

namespace penstock {
namespace {

// Runs a step whose allocations depend on what the client sent. If memory runs out, only this
// request fails.
template <typename Step>
Status Guarded(std::string_view what, Step step) {
  try {
    return step();
  } catch (const std::bad_alloc&) {
    return OutOfMemory(what);
  }
}

}  // namespace

void InferCall::Start(Engine& engine, const CallInfo& info) {
  engine_ = &engine;
  info_ = info;
  // The clock was read when the bytes of this request came, or at the end of the request before.
  times_.begun = ThreadTime::LastSince(info.start, engine.clock());
  // The time to decode grows with the body, and an event loop must not stop for long.
  if (info.body_bytes <= engine.inline_request_bytes_max() || DecodesInPlace())
    return FindModel(nullptr);
  // The version that is ready now stays loaded while the request waits. FindModel decides.
  ModelSelector peeked;
  if (PeekSelector(peeked) &&
      (info.caller == nullptr ||
       access::Check(info.caller, access::Operation::kInfer, peeked.name).ok())) {
    if (StatusOr<ModelHandle> model = engine.Find(peeked); model.ok())
      model_.emplace(*std::move(model));
  }
  MoveToSlot(&InferCall::FindModel);
}

bool InferCall::PeekSelector(ModelSelector&) const { return false; }

void InferCall::MoveToSlot(Step step) {
  schedule::ModelQueue& queue = model_ ? engine_->QueueOf(*model_) : engine_->scheduler().common();
  queued_step_.step = step;
  queued_step_.queued = engine_->clock().Now();
  queued_step_.deadline = info_.deadline.time_since_epoch().count();
  queued_step_.bytes = info_.body_bytes;
  queued_step_.group = &kUndecoded;
  queued_step_.entered = queued_step_.queued.time_since_epoch().count();
  queued_step_.rows = 1;  // at least
  const schedule::Admission admission = queue.Enter(queued_step_, info_.cancel);
  if (admission != schedule::Admission::kAccepted)
    Finish(engine_->ErrorOf(queue, admission, info_.cancel, info_.deadline));
}

void InferCall::QueuedStep::Start(schedule::Lease& lease) {
  call_.times_.queued += lease.start() - queued;
  if (is_late) [[unlikely]] {
    // It may have moved on from the common queue, which has no such limit.
    return call_.Finish(call_.engine_->ErrorOf(call_.engine_->QueueOf(*call_.model_),
                                               schedule::Admission::kWaitedTooLong,
                                               call_.info_.cancel, call_.info_.deadline));
  }
  // Work that nobody waits for would make the queue longer for others.
  const Status status =
      call_.engine_->CheckStillWanted(call_.info_.cancel, call_.info_.deadline, lease.start());
  if (!status.ok()) return call_.Finish(status);
  (call_.*step)(&lease);
}

void InferCall::QueuedStep::Drop() {
  const SteadyTime now = call_.engine_->clock().Now();
  call_.times_.queued += now - queued;
  call_.Finish(call_.engine_->CheckStillWanted(call_.info_.cancel, call_.info_.deadline, now));
}

void InferCall::FindModel(schedule::Lease* lease) {
  std::optional<ModelHandle> kept_loaded;  // what Start has found. Usually the same is found again
  kept_loaded.swap(model_);
  const Status status =
      Guarded("the names of a request", [&] { return ReadSelector(selector_, request_); });
  if (!status.ok()) return Finish(status);
  if (info_.caller != nullptr) [[unlikely]] {
    // Before the search, so that the answer does not depend on whether the model exists.
    const Status allowed = access::Check(info_.caller, access::Operation::kInfer, selector_.name);
    if (!allowed.ok()) return Finish(allowed);
  }
  StatusOr<ModelHandle> model = engine_->FindToRun(selector_, *this);
  if (model.status().code() == StatusCode::kUnavailable) [[unlikely]] {
    auto when_loaded = [this, since = engine_->clock().Now()](StatusOr<ModelHandle> loaded) {
      times_.queued += engine_->clock().Now() - since;
      if (!loaded.ok()) return Finish(loaded.status());
      model_.emplace(*std::move(loaded));
      // Other requests wait for the thread that calls this, so it must not compute.
      MoveToSlot(&InferCall::DecodeAndRun);
    };
    if (engine_->FindOnceLoaded(selector_, this, info_.deadline, *info_.cancel,
                                std::move(when_loaded))) {
      return;
    }
  }
  if (!model.ok()) return Finish(model.status());
  model_.emplace(*std::move(model));
  // The slot may be that of another model: Start could not know.
  if (lease != nullptr && !engine_->QueueOf(*model_).Owns(*lease))
    return MoveToSlot(&InferCall::DecodeAndRun);
  DecodeAndRun(lease);
}

void InferCall::DecodeAndRun(schedule::Lease* lease) {
  RequestMemory memory = engine_->MemoryOfRequest();
  // A small body may hold a large tensor: one value can stand for millions of equal ones.
  if (lease == nullptr) memory.LimitInline(engine_->inline_request_bytes_max());
  const Status status =
      Guarded("the tensors of a request", [&] { return Decode(model_->info(), memory, request_); });
  if (!status.ok()) {
    if (memory.is_too_large_inline()) return MoveToSlot(&InferCall::DecodeAndRun);
    return Finish(status);
  }
  engine_->Decide(*model_, request_);
  if (model_->cache() != nullptr) [[unlikely]] {
    const Status known = ReadCacheUse();
    if (!known.ok()) return Finish(known);
  }
  if (model_->info().traits.runs_others) [[unlikely]] {
    const Status known = ReadHops();
    if (!known.ok()) return Finish(known);
  }
  request_.deadline = info_.deadline;
  request_.cancel = info_.cancel;
  request_.request_id = info_.request_id;
  request_.message_bytes = info_.body_bytes;
  request_.flow = nullptr;
  if (info_.parts != nullptr) {
    info_.parts->RunOn(engine_->QueueOf(*model_));
    request_.flow = &info_.parts->flow();
  }
  request_.times = &times_;
  const bool is_traced = info_.record != nullptr && info_.record->is_traced;
  request_.steps = is_traced ? &steps_ : nullptr;
  if (info_.record != nullptr) info_.record->write_times = &model_->write_times();
  // A pointer is small enough to be kept in the callback without an allocation. The object lives
  // until Release.
  auto on_part = [this](InferResponse&& part) { OnPart(std::move(part)); };
  if (lease != nullptr) {
    engine_->RunHere(*model_, request_, *lease, std::move(on_part));
  } else {
    engine_->Run(*model_, request_, /*may_run_inline=*/true, std::move(on_part));
  }
}

Status InferCall::ReadCacheUse() {
  const std::string_view wish = Header(kCacheField);
  if (wish.empty()) return OkStatus();
  if (wish != "bypass" && wish != "refresh")
    return InvalidArgument("{} must be 'bypass' or 'refresh', not '{}'", kCacheField,
                           wish.substr(0, kRecordTextBytesMax));
  request_.cache_use = wish == "bypass" ? CacheUse::kBypass : CacheUse::kRefresh;
  return OkStatus();
}

Status InferCall::ReadHops() {
  constexpr uint32_t kHopsMax = 1000;
  const std::string_view text = Header(kHopsField);
  if (text.empty()) return OkStatus();
  const auto [end, error] = std::from_chars(text.begin(), text.end(), request_.hops);
  if (error != std::errc() || end != text.end() || request_.hops > kHopsMax)
    return InvalidArgument("{} must be a number up to {}, not '{}'", kHopsField, kHopsMax,
                           text.substr(0, kRecordTextBytesMax));
  return OkStatus();
}

void InferCall::OnPart(InferResponse&& part) {
  if (part.cache != CacheOutcome::kNone) [[unlikely]]
    model_->set_cache_outcome(part.cache);
  if (part.is_last && times_.run_start != SteadyTime{})
    times_.run_end = ThreadTime::Read(engine_->clock());
  if (!part.is_last || info_.parts != nullptr || !failure_.ok()) [[unlikely]]
    return OnOneOfParts(std::move(part));
  Status status = std::move(part.status);
  if (status.ok()) status = Guarded("an answer", [&] { return Answer(part.outputs); });
  part.outputs.clear();  // their names point into the request and the model, which Finish releases
  Finish(status);
}

// Takes a part of an answer that is, or must be, sent in parts.
void InferCall::OnOneOfParts(InferResponse&& part) {
  Status status = failure_.ok() ? std::move(part.status) : failure_;
  if (status.ok() && info_.parts == nullptr) {
    status = Error(StatusCode::kUnimplemented,
                   "model {} answers in several parts, which this call cannot carry: use "
                   "PredictStreamed of penstock.StreamingPredictionService, or :predict with "
                   "\"Accept: text/event-stream\"",
                   model_->id().name);
  }
  // A last part without outputs only ends the answer, unless it is all of the answer.
  const bool is_sent = !part.is_last || !has_parts_ || !part.outputs.empty();
  if (status.ok() && is_sent) {
    has_parts_ = true;
    status = Guarded("a part of an answer", [&] { return Answer(part.outputs); });
  }
  part.outputs.clear();  // as in OnPart
  if (!part.is_last) {
    if (status.ok() || !failure_.ok()) return;
    // The client need not wait until the model has stopped.
    failure_ = std::move(status);
    SendError(failure_);
    return StopRun();
  }
  if (info_.parts != nullptr && info_.parts->is_refused()) {
    status = engine_->ErrorOf(engine_->QueueOf(*model_), schedule::Admission::kQueueItems,
                              info_.cancel, info_.deadline);
  }
  if (status.ok()) EndParts();
  Finish(status);
}

Status InferCall::Answer(const NamedTensors& outputs) {
  RequestMemory memory = engine_->MemoryOfAnswer();
  StatusOr<ByteChain> answer = Encode(outputs, memory);
  if (!answer.ok()) return answer.status();
  TRY(memory.Count(*answer));
  info_.parts == nullptr ? Send(*std::move(answer)) : SendPart(*std::move(answer));
  return OkStatus();
}

void InferCall::SendPart(ByteChain&&) { PENSTOCK_CHECK(false, "this call takes no parts"); }
void InferCall::EndParts() { PENSTOCK_CHECK(false, "this call takes no parts"); }

void InferCall::Finish(const Status& status) {
  if (!status.ok() && failure_.ok()) SendError(status);
  times_.answered = ThreadTime::Read(engine_->clock());
  const StatusCode outcome = OutcomeOf(status);
  const Duration latency = times_.answered - info_.start;
  if (info_.record != nullptr && info_.record->Wants(outcome != StatusCode::kOk, latency))
      [[unlikely]]
    NoteDetails(status, outcome);
  if (model_) {
    model_->RecordStages(times_);
  } else if (outcome == StatusCode::kUnavailable) {
    engine_->NoteNotAvailable();
  }
  Record(model_ ? std::string_view(model_->id().name) : std::string_view(), outcome, latency);
  Release();
}

void InferCall::NoteDetails(const Status& status, StatusCode outcome) {
  const auto set = [](std::string& to, std::string_view text) {
    to = text.substr(0, kRecordTextBytesMax);
  };
  CallDetails& details = info_.record->MakeDetails();
  set(details.model, model_ ? std::string_view(model_->id().name) : selector_.name);
  details.version = std::nullopt;
  if (model_) {
    details.version = model_->id().version.value;
  } else if (selector_.version) {
    details.version = selector_.version->value;
  }
  set(details.label, selector_.label);
  set(details.arm, model_ ? model_->arm() : std::string_view());
  set(details.signature, request_.signature_name);
  set(details.error, MessageOf(status));
  details.code = outcome;
  details.times = times_;
  details.steps = std::move(steps_);
}

// The network layer cancels a call when its deadline passes or its client disconnects. After that
// the outcome is what the client has seen, no matter how or when the run ends.
StatusCode InferCall::OutcomeOf(const Status& status) const {
  if (!failure_.ok()) [[unlikely]]
    return failure_.code();
  return penstock::OutcomeOf(status.code(), info_.cancel);
}

void InferCall::Reset() {
  model_.reset();
  selector_ = {};
  // Field by field, and not `request_ = {}`: the lists keep their memory for the next call.
  request_.signature_name = {};
  request_.inputs.clear();
  request_.output_filter.clear();
  request_.further_signatures.clear();
  request_.options.clear();
  request_.cache_use = CacheUse::kNormal;
  request_.hops = 0;
  request_.names_owner = {};
  times_ = {};
  steps_.clear();
  has_parts_ = false;
  failure_ = OkStatus();
}

}  // namespace penstock
