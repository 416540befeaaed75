// SPDX-License-Identifier: Apache-2.0
// A batch forms when a request starts: it takes along what waits in the queue and fits. So nothing
// waits while a slot is free, and until then each request has its own place in the queue, with its
// own deadline and its own token.
//
// A large request waits before it is decoded. A batch takes it along unseen, decodes it in its own
// slot, and only then knows whether it fits. If not, the request goes back to the queue, decoded.
//
// Requests of a cheap model do not wait in a queue. An event loop joins those that it decodes in
// one turn: see TurnBatches.
//
// If a batch fails, its members go back to the queue: one of them may be the cause, and the others
// must not suffer. They run again with at most half as many, and alone in the end. So one request
// that fails costs about two more runs for each halving, and not one for each member. The lease of
// the batch ends as that of any run.
//
// The functions of Engine that make a QueuedRun are here too, so that engine.cc does not need it.
#include "infer/queued_run.h"

#include <algorithm>
#include <tuple>

#include "base/calls/held_wakes.h"
#include "base/calls/thread_time.h"
#include "infer/served_model.h"

namespace penstock {
namespace {

// The bytes that a run has taken. The characters of its input strings lie in the messages.
uint64_t BytesOf(const NamedTensors& inputs, const NamedTensors& outputs) {
  uint64_t bytes = 0;
  for (const NamedTensor& each : inputs) bytes += each.tensor.bytes();
  for (const NamedTensor& each : outputs) bytes += each.tensor.bytes() + each.tensor.StringBytes();
  return bytes;
}

}  // namespace

Engine::QueuedRun::QueuedRun(Engine& engine, core::Handle handle, const InferRequest& request,
                             ResponseCallback&& done)
    : engine_(engine),
      handle_(std::move(handle)),
      request_(request),
      done_(std::move(done)),
      queued_(engine.clock_.Now()) {
  deadline = request.deadline.time_since_epoch().count();
  bytes = request.message_bytes;
  if (Batcher* const batcher = Served(handle_).batcher(); batcher != nullptr) {
    form_ = batcher->FormOf(request);
    if (form_.rows > 0) group = batcher;
  }
  entered = queued_.time_since_epoch().count();
  rows = form_.rows;
}

void Engine::QueuedRun::NoteWait(SteadyTime now) {
  // The thread may have read the clock before its own run has sent this request. It did wait: only
  // requests that waited count under the queue's time.
  const Duration waited = std::max(now - queued_, Duration(1));
  if (request_.times != nullptr) request_.times->queued += waited;
  queued_ = now;
}

void Engine::QueuedRun::Start(schedule::Lease& lease) {
  if (is_late) [[unlikely]] {
    const std::unique_ptr<QueuedRun> own(this);
    NoteWait(lease.start());
    return AnswerLate();
  }
  StartNow(std::unique_ptr<QueuedRun>(this), lease);
}

void Engine::QueuedRun::StartNow(std::unique_ptr<QueuedRun> run, schedule::Lease& lease) {
  const Clock& clock = run->engine_.clock_;
  if (run->group == nullptr) return run->RunAlone(&lease, lease.start());
  auto batch = std::make_unique<BatchRun>(std::move(run));
  batch->TakeOthers(lease);
  // Others may have been decoded meanwhile.
  BatchRun::Start(std::move(batch), &lease, ThreadTime::LastSince(lease.start(), clock));
}

void Engine::QueuedRun::StartInline(std::unique_ptr<QueuedRun> run) {
  TurnEnd* const turn = TurnEnd::Current();
  if (run->group != nullptr && turn != nullptr)
    return TurnBatches::OfThread().Add(*turn, std::move(run));
  run->RunAlone(/*lease=*/nullptr, ThreadTime::Read(run->engine_.clock_));
}

void Engine::QueuedRun::RunAlone(schedule::Lease* lease, SteadyTime now) {
  NoteWait(now);
  engine_.RunNow(std::move(handle_), request_, lease, now, /*requests=*/1, std::move(done_));
}

void Engine::QueuedRun::Drop() {
  const std::unique_ptr<QueuedRun> own(this);
  const SteadyTime now = engine_.clock_.Now();
  NoteWait(now);
  AnswerError(CheckStillWanted(now));
}

Status Engine::QueuedRun::CheckStillWanted(SteadyTime now) const {
  const CancelToken* const cancel = request_.cancel;
  if (!is_part) return engine_.CheckStillWanted(cancel, request_.deadline, now);
  if (now < request_.deadline && !cancel->IsCancelled()) return OkStatus();
  return absl::CancelledError("the request of this part has ended");
}

void Engine::QueuedRun::AnswerLate() {
  AnswerError(engine_.ErrorOf(Served(handle_).QueueIn(engine_.scheduler_),
                              schedule::Admission::kWaitedTooLong, request_.cancel,
                              request_.deadline));
}

void Engine::QueuedRun::Enter(std::unique_ptr<QueuedRun> run) {
  Engine& engine = run->engine_;
  schedule::ModelQueue& queue = Served(run->handle_).QueueIn(engine.scheduler_);
  const schedule::Admission admission = queue.Enter(*run, run->request_.cancel);
  if (admission == schedule::Admission::kAccepted) {
    std::ignore = run.release();  // it owns itself, and may be gone already
    return;
  }
  if (admission == schedule::Admission::kCancelled)
    return run->AnswerError(run->CheckStillWanted(engine.clock_.Now()));
  const InferRequest& request = run->request_;
  run->AnswerError(engine.ErrorOf(queue, admission, request.cancel, request.deadline));
}

void Engine::QueuedRun::Retry(std::unique_ptr<QueuedRun> run, size_t requests_max) {
  run->requests_max_ = requests_max;
  if (requests_max <= 1) {
    run->group = nullptr;
    run->rows = 0;
  }
  run->was_accepted = true;
  if (StageTimes* const times = run->request_.times; times != nullptr) times->batch_requests = 0;
  Enter(std::move(run));
}

Engine::BatchRun::BatchRun(std::unique_ptr<QueuedRun> first)
    : engine_(first->engine()), batcher_(*Served(first->handle()).batcher()) {
  members_.push_back(std::move(first));
  Recount();
}

void Engine::BatchRun::Crowd::Add(const QueuedRun& run) {
  form.Add(run.form());
  ++requests;
  requests_max = std::min(requests_max, run.requests_max());
}

void Engine::BatchRun::Recount() {
  const QueuedRun& first = *members_.front();
  crowd_ = {.form = first.form(), .requests_max = first.requests_max()};
  for (size_t i = 1; i < members_.size(); ++i) crowd_.Add(*members_[i]);
}

void Engine::BatchRun::Start(std::unique_ptr<BatchRun> batch, schedule::Lease* lease,
                             SteadyTime now) {
  for (const auto& member : batch->members_) member->NoteWait(now);
  batch->DropUnwanted(now);
  if (batch->members_.empty()) return;
  const int64_t rows = batch->form().rows;
  if (batch->members_.size() > 1 || batch->batcher_.RowsToRun(rows) != rows) batch->Join();
  batch->start_ = now;
  const size_t requests = batch->members_.size();
  const uint64_t id = batch->members_.front()->request().request_id;
  for (const auto& member : batch->members_) {
    StageTimes* const times = member->request().times;
    if (times == nullptr) continue;
    times->run_start = now;
    if (requests == 1) continue;
    times->batch_requests = static_cast<uint32_t>(requests);
    times->batch_rows = static_cast<uint32_t>(batch->form().rows);
    times->batch = id;
  }
  // An event loop cannot learn that a client has left while it runs the model.
  if (batch->joined_ != nullptr && lease != nullptr) batch->WatchMembers();
  Engine& engine = batch->engine_;
  core::Handle handle = batch->members_.front()->handle().Share();
  BatchRun* const raw = batch.release();  // it owns itself
  engine.RunNow(std::move(handle), raw->request(), lease, now, requests,
                [raw](InferResponse&& part) { raw->OnPart(std::move(part)); });
}

void Engine::BatchRun::StartInline(std::unique_ptr<BatchRun> batch) {
  const SteadyTime now = ThreadTime::Read(batch->engine_.clock_);
  Start(std::move(batch), /*lease=*/nullptr, now);
}

bool Engine::BatchRun::TryTake(std::unique_ptr<QueuedRun>& run) {
  if (!Fits(*run, crowd_, batcher_.RowsMax(form().signature))) return false;
  Add(run.release());
  return true;
}

bool Engine::BatchRun::Fits(const QueuedRun& other, const Crowd& crowd, int64_t rows_max) const {
  return other.group == &batcher_ && other.form().rows <= rows_max - crowd.form.rows &&
         crowd.requests < std::min(crowd.requests_max, other.requests_max()) &&
         batcher_.MayJoin(members_.front()->request(), crowd.form, other.request(), other.form());
}

void Engine::BatchRun::Add(QueuedRun* member) {
  crowd_.Add(*member);
  members_.emplace_back(member);
}

void Engine::BatchRun::TakeOthers(schedule::Lease& lease) {
  schedule::ModelQueue& queue = Served(members_.front()->handle()).QueueIn(engine_.scheduler_);
  const int64_t rows_max =
      batcher_.PrefersSizes()
          ? batcher_.RowsToTake(form().signature, form().rows + queue.WaitingRows())
          : batcher_.RowsMax(form().signature);
  if (form().rows >= rows_max) return;
  std::vector<schedule::Job*> taken;
  Crowd all = crowd_;
  const auto ask = [&](schedule::Job& job) {
    if (all.form.rows >= rows_max || all.requests >= all.requests_max)
      return schedule::Along::kStop;
    if (job.group == &kUndecoded) {
      ++all.form.rows;  // at least
      ++all.requests;
      return schedule::Along::kTake;
    }
    const auto& other = static_cast<const QueuedRun&>(job);
    if (!Fits(other, all, rows_max)) return schedule::Along::kLeave;
    all.Add(other);
    return schedule::Along::kTake;
  };
  queue.TakeAlong(lease, ask, taken);
  members_.reserve(taken.size() + 1);
  const auto undecoded = std::ranges::partition(
      taken, [](const schedule::Job* job) { return job->group != &kUndecoded; });
  for (auto job = taken.begin(); job != undecoded.begin(); ++job)
    Add(static_cast<QueuedRun*>(*job));
  if (!undecoded.empty()) Decode({undecoded.begin(), undecoded.end()}, rows_max, lease);
}

void Engine::BatchRun::Decode(std::span<schedule::Job* const> jobs, int64_t rows_max,
                              schedule::Lease& lease) {
  std::vector<schedule::Job*> gathered;
  lease.gathered = &gathered;
  for (schedule::Job* job : jobs) job->Start(lease);
  lease.gathered = nullptr;
  for (schedule::Job* job : gathered) {
    auto* const other = static_cast<QueuedRun*>(job);
    if (Fits(*other, crowd_, rows_max)) {
      Add(other);
    } else {
      other->was_accepted = true;
      QueuedRun::Enter(std::unique_ptr<QueuedRun>(other));
    }
  }
}

void Engine::BatchRun::DropUnwanted(SteadyTime now) {
  const size_t before = members_.size();
  std::erase_if(members_, [&](const std::unique_ptr<QueuedRun>& member) {
    if (member->is_late) [[unlikely]] {
      member->AnswerLate();
      return true;
    }
    Status status = member->CheckStillWanted(now);
    if (status.ok()) return false;
    member->AnswerError(std::move(status));
    return true;
  });
  if (members_.size() == before || members_.empty()) return;
  Recount();
}

void Engine::BatchRun::Join() {
  std::vector<const InferRequest*> requests;
  requests.reserve(members_.size());
  for (const auto& member : members_) requests.push_back(&member->request());
  RequestMemory memory = engine_.MemoryOfAnswer();  // its limit is the budget alone
  StatusOr<std::unique_ptr<JoinedRequest>> joined = batcher_.Join(requests, cancel_, memory);
  if (joined.ok()) {
    joined_ = *std::move(joined);
    return;
  }
  for (size_t i = 1; i < members_.size(); ++i) QueuedRun::Retry(std::move(members_[i]), 1);
  members_.resize(1);
  Recount();
}

void Engine::BatchRun::WatchMembers() {
  wanted_.store(members_.size(), std::memory_order_relaxed);
  for (const auto& member : members_) {
    CancelToken* const cancel = member->request().cancel;
    if (cancel == nullptr) continue;
    cancel->SetCallback([this, cancel] {
      if (wanted_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
      cancel_.Cancel(cancel->HasExpired()   ? CancelReason::kDeadline
                     : cancel->HasStopped() ? CancelReason::kServerStops
                                            : CancelReason::kClientLeft);
    });
  }
  is_watching_ = true;
}

void Engine::BatchRun::EndWatch() {
  if (!std::exchange(is_watching_, false)) return;
  for (const auto& member : members_)
    if (member->request().cancel != nullptr) member->request().cancel->ClearCallback();
}

void Engine::BatchRun::OnPart(InferResponse&& part) {
  if (joined_ != nullptr && !part.is_last) {
    was_streamed_ = true;
    return;
  }
  if (!part.is_last) return members_.front()->Answer(std::move(part));
  const std::unique_ptr<BatchRun> own(this);
  EndedRun ended = {.requests = members_.size(),
                    .tensor_bytes = BytesOf(request().inputs, part.outputs),
                    .time = ThreadTime::Read(engine_.clock_) - start_};
  if (joined_ == nullptr) {
    const bool is_ok = part.status.ok();
    members_.front()->Answer(std::move(part));
    if (is_ok) batcher_.Record(form(), ended);
    return;
  }
  EndWatch();
  if (!part.status.ok()) return Fail(part.status);
  // The members go with their answers, and the batcher must stay.
  const core::Handle handle = members_.front()->handle().Share();
  Status status =
      was_streamed_ ? absl::InternalError("the model answers in parts") : Divide(part.outputs);
  // After the answers, so that nothing is counted for a request that is not counted itself. Their
  // time counts: what is best for the model alone need not be for the thread.
  ended.time = ThreadTime::Read(engine_.clock_) - start_;
  if (status.ok()) return batcher_.Record(form(), ended);
  if (status.code() == StatusCode::kInternal) batcher_.TurnOff(form().signature, status);
  Fail(status);
}

Status Engine::BatchRun::Divide(const NamedTensors& outputs) {
  RequestMemory memory = engine_.MemoryOfAnswer();
  TRY(joined_->Divide(outputs, memory));
  const HeldWakes held;  // one for all answers, and not one for each
  for (std::unique_ptr<QueuedRun>& each : members_) {
    // Each goes when it is answered, so that the next request finds its memory in the cache.
    const std::unique_ptr<QueuedRun> member = std::move(each);
    InferResponse response;
    joined_->NextPart(response.outputs);
    member->Answer(std::move(response));
  }
  return OkStatus();
}

void Engine::BatchRun::Fail(const Status& status) {
  // The version stays loaded while its members go back to the queue.
  const core::Handle handle = members_.front()->handle().Share();
  // A member that was alone is the cause itself.
  const bool may_repeat = members_.size() > 1 && !Served(handle).info().traits.has_side_effects;
  const size_t half = members_.size() / 2;
  if (may_repeat) batcher_.RecordRetries(members_.size());
  for (auto& member : members_) {
    if (may_repeat) {
      QueuedRun::Retry(std::move(member), half);
    } else {
      member->AnswerError(status);
    }
  }
}

void Engine::Queue(const ModelHandle& handle, const InferRequest& request,
                   ResponseCallback&& done) {
  QueuedRun::Enter(
      std::make_unique<QueuedRun>(*this, handle.handle_.Share(), request, std::move(done)));
}

void Engine::RunOrGather(const ModelHandle& handle, const InferRequest& request,
                         schedule::Lease& lease, ResponseCallback&& done) {
  auto run = std::make_unique<QueuedRun>(*this, handle.handle_.Share(), request, std::move(done));
  if (lease.gathered == nullptr) return QueuedRun::StartNow(std::move(run), lease);
  lease.gathered->push_back(run.release());
}

void Engine::GatherInTurn(const ModelHandle& handle, const InferRequest& request,
                          ResponseCallback&& done) {
  QueuedRun::StartInline(
      std::make_unique<QueuedRun>(*this, handle.handle_.Share(), request, std::move(done)));
}

Engine::TurnBatches& Engine::TurnBatches::OfThread() {
  thread_local TurnBatches batches;
  return batches;
}

void Engine::TurnBatches::Add(TurnEnd& turn, std::unique_ptr<QueuedRun> run) {
  for (auto at = batches_.begin(); at != batches_.end(); ++at) {
    if (!(*at)->TryTake(run)) continue;
    if (!(*at)->IsFull()) return;
    std::unique_ptr<BatchRun> full = std::move(*at);
    batches_.erase(at);
    return BatchRun::StartInline(std::move(full));
  }
  if (batches_.empty()) turn.Add(*this);
  batches_.push_back(std::make_unique<BatchRun>(std::move(run)));
}

void Engine::TurnBatches::OnTurnEnd() {
  for (auto& batch : std::exchange(batches_, {})) BatchRun::StartInline(std::move(batch));
}

}  // namespace penstock
