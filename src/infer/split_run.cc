// SPDX-License-Identifier: Apache-2.0
// The caller keeps the request until the last part of its answer. So that call must come after all
// parts have ended, also if one has failed.
//
// The token of the request cancels the parts, and a part that leaves the queue ends within that
// call. So the request may be answered within the callback of its own token, as a request that
// waits alone is.
//
// The function of Engine that makes a SplitRun is here too, so that engine.cc does not need it.
#include "infer/split_run.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "infer/served_model.h"

namespace penstock {

Engine::SplitRun::SplitRun(Engine& engine, core::Handle handle, const InferRequest& request,
                           const Parts& parts, ResponseCallback&& done)
    : engine_(engine),
      handle_(std::move(handle)),
      batcher_(*Served(handle_).batcher()),
      request_(request),
      form_(parts.form),
      part_rows_(parts.rows),
      done_(std::move(done)),
      answer_(batcher_.BeginAnswer(form_)) {
  const size_t lanes = LanesMax();
  for (size_t i = 0; i < lanes; ++i) lanes_.push_back(std::make_unique<Lane>());
}

uint64_t Engine::SplitRun::BytesOf(int64_t rows) const {
  const auto part = static_cast<uint64_t>(rows), all = static_cast<uint64_t>(form_.rows);
  const uint64_t bytes = request_.message_bytes;
  return bytes / all * part + bytes % all * part / all;
}

// The first part enters the queue as any request does, so there is always one.
size_t Engine::SplitRun::LanesMax() const {
  const schedule::QueueRoom room = Served(handle_).QueueIn(engine_.scheduler_).Room();
  const auto further_parts = static_cast<uint64_t>((form_.rows - 1) / part_rows_);
  const uint64_t part_bytes = std::max<uint64_t>(BytesOf(part_rows_), 1);
  return 1 + std::min({further_parts, uint64_t{room.runs}, room.requests / 2,
                       room.bytes / 2 / part_bytes});
}

void Engine::SplitRun::Start(Engine& engine, core::Handle handle, const InferRequest& request,
                             const Parts& parts, schedule::Lease* lease, ResponseCallback&& done) {
  const std::shared_ptr<SplitRun> run(
      new SplitRun(engine, std::move(handle), request, parts, std::move(done)));
  run->Start(lease);
}

void Engine::SplitRun::Start(schedule::Lease* lease) {
  if (request_.cancel != nullptr) {
    request_.cancel->SetCallback([self = shared_from_this(), token = request_.cancel] {
      self->CancelParts(token->HasExpired()   ? CancelReason::kDeadline
                        : token->HasStopped() ? CancelReason::kServerStops
                                              : CancelReason::kClientLeft);
    });
  }
  std::unique_ptr<QueuedRun> first = TakePart(*lanes_.front());
  // The request was accepted if its first part is, or if it has a slot already.
  if (lease == nullptr) QueuedRun::Enter(std::move(first));
  for (size_t i = 1; i < lanes_.size(); ++i) {
    std::unique_ptr<QueuedRun> part = TakePart(*lanes_[i]);
    if (part == nullptr) break;
    part->was_accepted = true;
    QueuedRun::Enter(std::move(part));
  }
  if (lease == nullptr) return;
  if (lease->gathered == nullptr) return QueuedRun::StartNow(std::move(first), *lease);
  lease->gathered->push_back(first.release());
}

std::unique_ptr<Engine::QueuedRun> Engine::SplitRun::TakePart(Lane& lane) {
  int64_t first = 0, rows = 0;
  {
    MutexLock lock(mutex_);
    if (!status_.ok() || !misfit_.ok() || next_row_ == form_.rows) return nullptr;
    first = next_row_;
    rows = std::min(part_rows_, form_.rows - first);
    next_row_ += rows;
    ++open_;
  }
  lane.first_row = first;
  lane.rows = rows;
  InferRequest& part = lane.request;
  part.signature_name = request_.signature_name;
  part.output_filter = request_.output_filter;
  part.options = request_.options;
  part.deadline = request_.deadline;
  part.cancel = &lane.token;
  part.request_id = request_.request_id;
  part.message_bytes = BytesOf(rows);
  part.times = &lane.times;
  part.names_owner = request_.names_owner;
  part.inputs.clear();
  for (const NamedTensor& input : request_.inputs)
    part.inputs.push_back({input.name, input.tensor.Rows(first, rows)});
  lane.times = {};
  auto run = std::make_unique<QueuedRun>(
      engine_, handle_.Share(), part, [self = shared_from_this(), &lane](InferResponse&& answer) {
        self->OnPart(lane, std::move(answer));
      });
  run->is_part = true;
  return run;
}

void Engine::SplitRun::OnPart(Lane& lane, InferResponse&& part) {
  if (!part.is_last) {
    lane.was_streamed = true;
    return;
  }
  const bool has_started = lane.times.run_start != SteadyTime{};
  Status misfit =
      lane.was_streamed ? absl::InternalError("the model answers in parts") : OkStatus();
  if (part.status.ok() && misfit.ok()) {
    RequestMemory memory = engine_.MemoryOfAnswer();
    Status status = answer_->Add(lane.first_row, lane.rows, part.outputs, memory);
    (status.code() == StatusCode::kInternal ? misfit : part.status) = std::move(status);
    part.outputs.clear();
  }
  bool is_first_error = false, is_end = false;
  {
    MutexLock lock(mutex_);
    is_first_error = !part.status.ok() && status_.ok();
    if (is_first_error) status_ = std::move(part.status);
    if (misfit_.ok()) misfit_ = std::move(misfit);
    const SteadyTime start = lane.times.run_start;
    if (start != SteadyTime{} && (times_.run_start == SteadyTime{} || start < times_.run_start))
      times_ = lane.times;
  }
  if (is_first_error && !has_started) NoteIfUnwanted();
  if (is_first_error) CancelParts(CancelReason::kClientLeft);
  if (std::unique_ptr<QueuedRun> next = TakePart(lane); next != nullptr) {
    next->was_accepted = true;
    QueuedRun::Enter(std::move(next));
  }
  {
    MutexLock lock(mutex_);
    is_end = --open_ == 0;
  }
  if (is_end) Finish();
}

void Engine::SplitRun::NoteIfUnwanted() {
  Status status =
      engine_.CheckStillWanted(request_.cancel, request_.deadline, engine_.clock_.Now());
  if (status.ok()) return;
  MutexLock lock(mutex_);
  status_ = std::move(status);
}

void Engine::SplitRun::CancelParts(CancelReason reason) {
  for (const auto& lane : lanes_) lane->token.Cancel(reason);
}

void Engine::SplitRun::Finish() {
  // From here on nothing else uses this object but a callback of the token that runs now.
  if (request_.cancel != nullptr) request_.cancel->ClearCallback();
  InferResponse response;
  Status misfit;
  {
    MutexLock lock(mutex_);
    response.status = status_;
    misfit = misfit_;
    if (StageTimes* const times = request_.times; times != nullptr) {
      times->queued += times_.queued;
      times->run_start = times_.run_start;
    }
  }
  if (response.status.ok() && !misfit.ok()) return RunWhole(misfit);
  if (response.status.ok()) response.outputs = answer_->Take();
  done_(std::move(response));
}

void Engine::SplitRun::RunWhole(const Status& why) {
  batcher_.TurnOff(form_.signature, why);
  if (Served(handle_).info().traits.has_side_effects) return AnswerError(done_, why);
  QueuedRun::Retry(
      std::make_unique<QueuedRun>(engine_, handle_.Share(), request_, std::move(done_)), 1);
}

bool Engine::TakeIfTooLarge(const ModelHandle& handle, const InferRequest& request,
                            schedule::Lease* lease, ResponseCallback& done) {
  const Batcher* const batcher = Served(handle.handle_).batcher();
  if (batcher == nullptr || !batcher->LimitsRequests()) [[likely]]
    return false;
  const BatchForm form = batcher->FormOf(request);
  const StatusOr<int64_t> part_rows = batcher->PartRows(form);
  if (!part_rows.ok()) {
    AnswerError(done, part_rows.status());
    return true;
  }
  if (*part_rows == 0) return false;
  SplitRun::Start(*this, handle.handle_.Share(), request, {form, *part_rows}, lease,
                  std::move(done));
  return true;
}

}  // namespace penstock
