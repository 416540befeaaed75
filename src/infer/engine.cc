// SPDX-License-Identifier: Apache-2.0
// A run takes one of three ways: on the event loop that calls, through the queue of the model, or
// in the slot that the caller has (RunHere). Each of them ends in RunNow, which asks just before
// the start whether anybody still waits. Requests of a version with a Batcher may be joined on the
// way: see queued_run.cc.
//
// The caller keeps its handle until it gets the last part, and may drop it within that callback.
// But a model must not be destroyed while its Run is on the stack. So RunAndRecord holds a handle
// of its own.
#include "infer/engine.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "base/calls/thread_time.h"
#include "infer/served_model.h"
#include "infer/start_run.h"

namespace penstock {
namespace {

// Requests of up to `bytes_max` are small.
RequestSize SizeOf(const InferRequest& request, uint64_t bytes_max) {
  uint64_t bytes = 0;
  for (const NamedTensor& input : request.inputs) {
    // The array of a string tensor has only views. Its characters count too, but to sum them up
    // means to visit every string. So the cheap number is tested first.
    bytes += input.tensor.bytes();
    if (bytes > bytes_max) return RequestSize::kLarge;
    bytes += input.tensor.StringBytes();
  }
  return bytes <= bytes_max ? RequestSize::kSmall : RequestSize::kLarge;
}

// Returns true if the run will be so short that it may hold an event loop.
bool IsShort(const ServedModel& served, const InferRequest& request, uint64_t bytes_max) {
  const RequestSize size = SizeOf(request, bytes_max);
  const std::atomic<int64_t>* const elements_max = served.inline_elements_max();
  if (elements_max == nullptr) [[likely]]
    return served.MayRunInline(size);
  int64_t elements = 0;
  for (const NamedTensor& input : request.inputs) elements += input.tensor.element_count();
  return size == RequestSize::kSmall && elements <= elements_max->load(std::memory_order_relaxed);
}

bool MayRunInline(const ServedModel& served, const schedule::ModelQueue& queue,
                  const InferRequest& request, uint64_t bytes_max) {
  const ModelTraits& traits = served.info().traits;
  return !queue.queues_always() && !traits.may_block &&
         !(traits.deadline_needs_pool && request.deadline != kNoDeadline) &&
         IsShort(served, request, bytes_max);
}

// A run that may answer after Model::Run has returned. The callback and the thread that runs share
// it. One thread at a time, apart from `events`.
struct LateRun {
  core::Handle handle;
  ResponseCallback done;
  const Clock& clock;
  SteadyTime start;
  StageTimes* times;
  schedule::Lease lease;  // empty: an inline run has none
  // The answer is complete, and Run has returned. Whoever notes the second one ends the lease.
  std::atomic<int> events{0};

  bool IsSecondEvent() { return events.fetch_add(1, std::memory_order_acq_rel) == 1; }
  void OnPart(InferResponse&& part) {
    if (!part.is_last) return done(std::move(part));
    if (times == nullptr) Served(handle).RecordRun(clock.Now() - start);
    done(std::move(part));
    if (IsSecondEvent() && lease) lease.End();
  }
};

// Runs a model whose answer may come later, on another thread. `lease` is null for an inline run.
void RunMaybeLate(const core::Handle& handle, const InferRequest& request, ResponseCallback&& done,
                  const Clock& clock, SteadyTime start, schedule::Lease* lease, size_t requests,
                  RequestSize size) {
  ServedModel& served = Served(handle);
  // A client that takes parts slowly makes the model wait, and must not hold a slot meanwhile. Any
  // other run computes until its answer is there.
  const bool keeps_slot = request.flow == nullptr;
  const auto run = std::make_shared<LateRun>(handle.Share(), std::move(done), clock, start,
                                             request.times, schedule::Lease());
  if (lease != nullptr) run->lease = std::move(*lease);
  StartRun(served.model(), request, [run](InferResponse part) { run->OnPart(std::move(part)); });
  served.RecordOccupied((clock.Now() - start) / static_cast<int64_t>(requests),
                        /*was_inline=*/lease == nullptr, size);
  if (lease == nullptr) return;
  if (!keeps_slot && run->events.load(std::memory_order_acquire) == 0) run->lease.ReleaseSlot();
  if (run->IsSecondEvent()) *lease = std::move(run->lease);  // the thread of the pool ends it
}

// Runs the model and records how long it took. `handle` keeps the model alive until Run has
// returned, because the caller may drop its own handle as soon as it has the answer. `lease` is
// null for an inline run. Without the batch, an event loop would run as many requests one by one:
// so the time for one of them decides whether the model may run there. `size` is that of one.
void RunAndRecord(core::Handle handle, const InferRequest& request, ResponseCallback&& done,
                  const Clock& clock, SteadyTime start, schedule::Lease* lease, size_t requests,
                  RequestSize size) {
  ServedModel& served = Served(handle);
  StageTimes* const times = request.times;
  if (times != nullptr) times->run_start = start;
  if (!served.info().traits.answers_in_run)
    return RunMaybeLate(handle, request, std::move(done), clock, start, lease, requests, size);
  // A model that answers before Run returns needs no wrapper around `done`, which would cost an
  // allocation.
  StartRun(served.model(), request, std::move(done));
  // `done` of InferCall reads the clock when it has sent the answer.
  const Duration time = ThreadTime::LastSince(start + Duration(1), clock) - start;
  if (times == nullptr) served.RecordRun(time);
  served.RecordOccupied(time / static_cast<int64_t>(requests), /*was_inline=*/lease == nullptr,
                        size);
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

Status Engine::ErrorOf(const schedule::ModelQueue& queue, schedule::Admission refused,
                       const CancelToken* cancel, SteadyTime deadline) const {
  using schedule::Admission;
  if (refused == Admission::kCancelled) return CheckStillWanted(cancel, deadline, clock_.Now());
  if (const Refusals* const counters = options_.refusals; counters != nullptr) {
    Counter& counter = refused == Admission::kQueueItems      ? counters->queue_full
                       : refused == Admission::kQueueBytes    ? counters->queue_bytes_full
                       : refused == Admission::kFlowItems     ? counters->model_queue_full
                       : refused == Admission::kFlowBytes     ? counters->model_queue_bytes_full
                       : refused == Admission::kTooLate       ? counters->deadline_too_close
                       : refused == Admission::kWaitedTooLong ? counters->waited_too_long
                                                              : counters->no_thread;
    counter.Add();
  }
  return queue.ErrorOf(refused);
}

const Model& ModelHandle::model() const { return Served(handle_).model(); }
const ExamplePlans& ModelHandle::examples() const { return Served(handle_).examples(); }
const AnswerCache* ModelHandle::cache() const { return Served(handle_).cache(); }
Histogram& ModelHandle::write_times() const { return Served(handle_).write_times(); }
void ModelHandle::RecordStages(const StageTimes& times) const {
  Served(handle_).RecordStages(times);
}
void ModelHandle::RecordStep(const StageTimes& times) const { Served(handle_).RecordStep(times); }

Engine::Engine(EngineOptions options, core::Manager& manager, schedule::Scheduler& scheduler,
               const Clock& clock)
    : options_(options), manager_(manager), scheduler_(scheduler), clock_(clock) {}

schedule::ModelQueue& Engine::QueueOf(const ModelHandle& handle) const {
  return Served(handle.handle_).QueueIn(scheduler_);
}

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
  RunChecked(handle, request, {may_run_inline, /*lease=*/nullptr}, std::move(done));
}

void Engine::RunHere(const ModelHandle& handle, const InferRequest& request, schedule::Lease& lease,
                     ResponseCallback done) {
  RunChecked(handle, request, {/*may_run_inline=*/false, &lease}, std::move(done));
}

void Engine::RunChecked(const ModelHandle& handle, const InferRequest& request, RunPlace place,
                        ResponseCallback&& done) {
  if (!BeginRun(handle, request, done)) [[unlikely]]
    return;
  AnswerCache* const cache = Served(handle.handle_).cache();
  if (cache == nullptr || request.cache_use == CacheUse::kBypass) [[likely]]
    return RunPastCache(handle, request, place, std::move(done));
  cache->Run(*this, handle, request, place, std::move(done));
}

void Engine::RunPastCache(const ModelHandle& handle, const InferRequest& request, RunPlace place,
                          ResponseCallback done) {
  const ServedModel& served = Served(handle.handle_);
  // Without the lease: the slot is free again as soon as this returns.
  if (served.info().traits.runs_others) [[unlikely]]
    return RunNow(handle.handle_.Share(), request, /*lease=*/nullptr, ThreadTime::Read(clock_),
                  /*requests=*/1, std::move(done));
  if (TakeIfTooLarge(handle, request, place.lease, done)) [[unlikely]]
    return;
  if (place.lease != nullptr) {
    if (place.lease->gathered != nullptr || served.batcher() != nullptr)
      return RunOrGather(handle, request, *place.lease, std::move(done));
    return RunNow(handle.handle_.Share(), request, place.lease, ThreadTime::Read(clock_),
                  /*requests=*/1, std::move(done));
  }
  if (!place.may_run_inline ||
      !MayRunInline(served, QueueOf(handle), request, options_.inline_request_bytes_max))
    return Queue(handle, request, std::move(done));
  if (served.batcher() == nullptr || !served.batcher()->JoinsInTurns()) [[likely]]
    return RunNow(handle.handle_.Share(), request, /*lease=*/nullptr, ThreadTime::Read(clock_),
                  /*requests=*/1, std::move(done));
  GatherInTurn(handle, request, std::move(done));
}

void Engine::RunNow(core::Handle handle, const InferRequest& request, schedule::Lease* lease,
                    SteadyTime now, size_t requests, ResponseCallback&& done) {
  if (Status status = CheckStillWanted(request.cancel, request.deadline, now); !status.ok())
      [[unlikely]] {
    AnswerError(done, std::move(status));
    return;
  }
  const RequestSize size = SizeOf(request, options_.inline_request_bytes_max * requests);
  RunAndRecord(std::move(handle), request, std::move(done), clock_, now, lease, requests, size);
}

}  // namespace penstock
