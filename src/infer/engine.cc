// SPDX-License-Identifier: Apache-2.0
// A run takes one of three ways: RunInline on the event loop that calls, RunOnPool through the
// queue of the pool, or RunHere on the thread of the pool that calls. Each of them asks just before
// the start whether anybody still waits, and ends in RunAndRecord.
//
// The caller keeps its handle until it gets the last part, and may drop it within that callback.
// But a model must not be destroyed while its Run is on the stack. So RunAndRecord holds a handle
// of its own.
#include "infer/engine.h"

#include <algorithm>
#include <utility>

#include "base/calls/thread_time.h"
#include "infer/served_model.h"
#include "infer/start_run.h"

namespace penstock {
namespace {

bool IsSmall(const InferRequest& request, uint64_t bytes_max) {
  uint64_t bytes = 0;
  for (const NamedTensor& input : request.inputs) {
    // The array of a string tensor has only views. Its characters count too, but to sum them up
    // means to visit every string. So the cheap number is tested first.
    bytes += input.tensor.bytes();
    if (bytes > bytes_max) return false;
    bytes += input.tensor.StringBytes();
  }
  return bytes <= bytes_max;
}

bool MayRunInline(const ServedModel& served, const InferRequest& request, uint64_t bytes_max) {
  const ModelTraits& traits = served.info().traits;
  return served.MayRunInline() && !traits.may_block &&
         !(traits.deadline_needs_pool && request.deadline != kNoDeadline) &&
         IsSmall(request, bytes_max);
}

// Runs the model and records how long it took. `handle` keeps the model alive until Run has
// returned, because the caller may drop its own handle as soon as it has the answer.
void RunAndRecord(core::Handle handle, const InferRequest& request, ResponseCallback&& done,
                  const Clock& clock, SteadyTime start, bool is_inline) {
  ServedModel& served = Served(handle);
  Model& model = served.model();
  StageTimes* const times = request.times;
  if (times != nullptr) times->run_start = start;
  // A model that answers before Run returns needs no wrapper around `done`, which would cost an
  // allocation.
  if (served.info().traits.answers_in_run) {
    StartRun(model, request, std::move(done));
    // `done` of InferCall reads the clock when it has sent the answer.
    const Duration time = ThreadTime::LastSince(start + Duration(1), clock) - start;
    if (times == nullptr) served.RecordRun(time);
    served.RecordOccupied(time, is_inline);
    return;
  }
  // The answer may come after this function has returned, and later than Run. So the callback and
  // this frame each keep the model.
  core::Handle shared = handle.Share();
  StartRun(model, request,
           [shared = std::move(shared), done = std::move(done), &clock, start,
            times](InferResponse part) mutable {
             if (part.is_last && times == nullptr) Served(shared).RecordRun(clock.Now() - start);
             done(std::move(part));
           });
  served.RecordOccupied(clock.Now() - start, is_inline);
}

}  // namespace

Status Engine::CheckStillWanted(const CancelToken* cancel, SteadyTime deadline,
                                SteadyTime now) const {
  const bool is_cancelled = cancel != nullptr && cancel->IsCancelled();
  // The network layer cancels a call whose deadline passes, too.
  if (now >= deadline || (is_cancelled && cancel->HasExpired())) [[unlikely]] {
    if (options_.refusals != nullptr) options_.refusals->deadline_passed.Add();
    return absl::DeadlineExceededError("the deadline passed before the model ran");
  }
  if (is_cancelled) [[unlikely]] {
    if (options_.refusals != nullptr) options_.refusals->client_left.Add();
    return absl::CancelledError("the request was cancelled before the model ran");
  }
  return OkStatus();
}

Status Engine::RefuseAsPoolIsFull() const {
  if (options_.refusals != nullptr) options_.refusals->queue_full.Add();
  return absl::UnavailableError(
      "the server is busy: its queue of requests that wait for a thread is full; try again later");
}

// A run that waits for a thread of the pool.
struct Engine::PoolRun {
  core::Handle handle;
  const InferRequest& request;
  ResponseCallback done;
  SteadyTime queued;
};

const Model& ModelHandle::model() const { return Served(handle_).model(); }
const ExamplePlans& ModelHandle::examples() const { return Served(handle_).examples(); }
Histogram& ModelHandle::write_times() const { return Served(handle_).write_times(); }
void ModelHandle::RecordStages(const StageTimes& times) const {
  Served(handle_).RecordStages(times);
}

Engine::Engine(EngineOptions options, core::Manager& manager, Executor& pool, const Clock& clock)
    : options_(options), manager_(manager), pool_(pool), clock_(clock) {}

StatusOr<ModelHandle> Engine::Find(const ModelSelector& selector) const {
  if (selector.name.empty()) [[unlikely]] {
    return absl::InvalidArgumentError("ModelSpec has no name specified.");
  }
  StatusOr<core::Handle> handle = selector.label.empty()
                                      ? manager_.GetHandle(selector.name, selector.version)
                                      : manager_.GetHandleByLabel(selector.name, selector.label);
  if (!handle.ok()) [[unlikely]]
    return handle.status();
  return ModelHandle(*std::move(handle));
}

StatusOr<ModelHandle> Engine::FindToRun(const ModelSelector& selector,
                                        const RequestHeaders& headers) const {
  // Most servers have no experiments. They pay one load for the question.
  if (options_.traffic == nullptr || !options_.traffic->any()) [[likely]]
    return Find(selector);
  // A client that names a version gets it. Only the other requests are divided.
  if (selector.version || !selector.label.empty()) return Find(selector);
  return FindInExperiment(selector, headers);
}

StatusOr<ModelHandle> Engine::FindInExperiment(const ModelSelector& selector,
                                               const RequestHeaders& headers) const {
  StatusOr<core::Handle> handle;
  std::unique_ptr<Assignment> assignment =
      options_.traffic->Assign(selector.name, headers, manager_, clock_, handle);
  // The experiment has just been removed, or it is of another model.
  if (assignment == nullptr) return Find(selector);
  if (!handle.ok()) return handle.status();
  ModelHandle found(*std::move(handle));
  found.assignment_ = std::move(assignment);
  return found;
}

bool Engine::FindOnceLoaded(const ModelSelector& selector, const RequestHeaders* headers,
                            SteadyTime deadline, CancelToken& cancel,
                            absl::AnyInvocable<void(StatusOr<ModelHandle>)> done) {
  const bool is_on_demand = manager_.IsModelOnDemand(selector.name);
  const Duration patience = is_on_demand ? options_.demand_timeout : options_.initial_load_wait;
  if (!is_on_demand && patience <= Duration::zero()) return false;
  const SteadyTime patience_ends = clock_.Now() + patience;
  // Who ended the wait decides about the error. If it was the server, the client may try again:
  // UNAVAILABLE. If it was the client's own deadline, that is the error.
  const bool is_own_limit = patience_ends < deadline;
  auto when_loaded = [this, selector, headers, is_on_demand, is_own_limit,
                      done = std::move(done)](Status status) mutable {
    if (is_own_limit && status.code() == StatusCode::kDeadlineExceeded) {
      if (!is_on_demand) return done(Find(selector));  // its error says why there is no version
      status = Error(StatusCode::kUnavailable, "model {} is still being loaded: try again later",
                     selector.name);
    }
    if (!status.ok()) return done(std::move(status));
    // Search again: since it was loaded, the version may have been replaced or unloaded.
    done(headers == nullptr ? Find(selector) : FindToRun(selector, *headers));
  };
  core::Demand demand{.model = std::string(selector.name),
                      .version = selector.version,
                      .label = std::string(selector.label),
                      .deadline = std::min(deadline, patience_ends),
                      .done = std::move(when_loaded),
                      .is_wanted = [&cancel] { return !cancel.IsCancelled(); }};
  return is_on_demand ? manager_.LoadOnDemand(std::move(demand))
                      : manager_.AwaitFirstLoad(std::move(demand));
}

bool Engine::BeginRun(const ModelHandle& handle, const InferRequest& request,
                      ResponseCallback& done) {
  // Before the check, so that requests with wrong inputs count for their arm too.
  if (handle.assignment_ != nullptr) [[unlikely]]
    done = handle.assignment_->Measure(request, std::move(done));
  const ServedModel& served = Served(handle.handle_);
  if (Status status = CheckRequest(served.info(), request); !status.ok()) [[unlikely]] {
    AnswerError(done, std::move(status));
    return false;
  }
  if (RecentRequests* const recent = served.recent(); recent != nullptr && recent->IsDue())
      [[unlikely]]
    done = recent->Watch(request, std::move(done));
  if (handle.assignment_ != nullptr) [[unlikely]]
    done = handle.assignment_->StartShadows(request, handle.handle_, std::move(done));
  return true;
}

void Engine::Run(const ModelHandle& handle, const InferRequest& request, bool may_run_inline,
                 ResponseCallback done) {
  if (!BeginRun(handle, request, done)) [[unlikely]]
    return;
  if (may_run_inline &&
      MayRunInline(Served(handle.handle_), request, options_.inline_request_bytes_max)) {
    RunInline(handle, request, std::move(done));
  } else {
    RunOnPool(handle, request, std::move(done));
  }
}

void Engine::RunHere(const ModelHandle& handle, const InferRequest& request,
                     ResponseCallback done) {
  if (!BeginRun(handle, request, done)) return;
  RunOnPoolThread(handle.handle_.Share(), request, ThreadTime::Read(clock_), std::move(done));
}

void Engine::RunInline(const ModelHandle& handle, const InferRequest& request,
                       ResponseCallback&& done) {
  const SteadyTime now = ThreadTime::Read(clock_);
  if (Status status = CheckStillWanted(request.cancel, request.deadline, now); !status.ok())
      [[unlikely]] {
    AnswerError(done, std::move(status));
    return;
  }
  RunAndRecord(handle.handle_.Share(), request, std::move(done), clock_, now, /*is_inline=*/true);
}

void Engine::RunOnPool(const ModelHandle& handle, const InferRequest& request,
                       ResponseCallback&& done) {
  // The task does not own the run: a refused task is destroyed, but `done` is still needed then.
  auto run = std::make_unique<PoolRun>(
      PoolRun{handle.handle_.Share(), request, std::move(done), clock_.Now()});
  PoolRun* const raw = run.release();
  const bool accepted = pool_.Submit([this, raw] {
    const std::unique_ptr<PoolRun> own(raw);
    const SteadyTime now = ThreadTime::Read(clock_);
    if (own->request.times != nullptr) own->request.times->queued += now - own->queued;
    RunOnPoolThread(std::move(own->handle), own->request, now, std::move(own->done));
  });
  if (accepted) return;
  run.reset(raw);
  AnswerError(run->done, RefuseAsPoolIsFull());
}

void Engine::RunOnPoolThread(core::Handle handle, const InferRequest& request, SteadyTime now,
                             ResponseCallback&& done) {
  if (Status status = CheckStillWanted(request.cancel, request.deadline, now); !status.ok()) {
    AnswerError(done, std::move(status));
    return;
  }
  RunAndRecord(std::move(handle), request, std::move(done), clock_, now, /*is_inline=*/false);
}

}  // namespace penstock
