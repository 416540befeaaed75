// SPDX-License-Identifier: Apache-2.0
// The engine finds the version for a request and runs it. A cheap model runs on the caller's
// thread, any other model in a slot of the scheduler. Front ends use the engine through InferCall.
//
// Neither a new protocol nor a new runtime changes this file: a protocol is a net::Frontend in
// src/frontends (docs/add-a-frontend.md), and a runtime is a backend behind
// include/penstock/backend.h (docs/add-a-backend.md). What is known about a model, such as its
// signatures, is in signature.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "core/manager.h"
#include "infer/answer_cache.h"
#include "infer/example_plans.h"
#include "infer/model.h"
#include "infer/refusals.h"
#include "infer/request.h"
#include "infer/run_times.h"
#include "infer/traffic.h"
#include "schedule/scheduler.h"

namespace penstock {

struct EngineOptions {
  // A request with a larger body is not decoded on an event loop, unless it is decoded in place.
  // One with more input bytes runs there only if the model is fast for such requests too.
  uint64_t inline_request_bytes_max = 64 * 1024;
  // The most bytes that the tensors of one request may take in addition to its message.
  uint64_t decoded_tensor_bytes_max = kDecodedTensorBytesMax;
  // Limits the tensors and answers of all requests together. Null: there is no such limit.
  RequestBudget request_budget = {};
  const Refusals* refusals = nullptr;  // null: nobody counts them. Must outlive the engine
  const Traffic* traffic = nullptr;    // null: no experiments. Must outlive the engine
  // The longest time that a request waits for a model on demand to load.
  Duration demand_timeout = std::chrono::seconds(30);
  // The longest time that a request waits for the first load of any other model. 0: no wait.
  Duration initial_load_wait = std::chrono::seconds(10);
};

// Keeps one version loaded while a request uses it. Can be moved, but not copied. One thread at a
// time; any thread may destroy it.
class ModelHandle {
 public:
  const Model& model() const;
  const ModelInfo& info() const { return model().info(); }
  // How the model classifies and regresses Examples. They live as long as the model is loaded.
  const ExamplePlans& examples() const;
  const core::ServableId& id() const { return handle_.id(); }
  // The name of the experiment's arm that has chosen the version. Empty if none has.
  std::string_view arm() const { return assignment_ == nullptr ? "" : assignment_->arm(); }
  // Null: the version has no cache of its answers.
  const AnswerCache* cache() const;
  // What the cache has given to the request of this handle.
  CacheOutcome cache_outcome() const { return cache_outcome_; }
  void set_cache_outcome(CacheOutcome outcome) { cache_outcome_ = outcome; }
  // Returns another handle to the same version.
  ModelHandle Share() const { return ModelHandle(handle_.Share()); }
  // Counts the stages of a request in the metrics of the version. Call it once, at the end.
  void RecordStages(const StageTimes& times) const;
  // The same of a request that was a step of an ensemble, and had no stages of a call.
  void RecordStep(const StageTimes& times) const;
  // See ServedModel.
  Histogram& write_times() const;

 private:
  friend class Engine;
  explicit ModelHandle(core::Handle handle) : handle_(std::move(handle)) {}
  core::Handle handle_;
  std::unique_ptr<Assignment> assignment_;  // null: the model has no experiment
  CacheOutcome cache_outcome_ = CacheOutcome::kNone;
};

// Runs requests on the versions that the manager has loaded. Front ends use it through InferCall,
// which calls it in this order:
//
//   ASSIGN_OR_RETURN(ModelHandle model, engine.FindToRun(selector, headers));
//   TRY(Decode(body, model.info(), request));
//   engine.Decide(model, request);
//   engine.Run(model, request, may_run_inline, [&](InferResponse&& part) { ... });
//
// Nothing here knows a protocol or a runtime. Thread-safe. `manager`, `scheduler` and `clock`
// must outlive it.
class Engine final {
 public:
  Engine(EngineOptions options, core::Manager& manager, schedule::Scheduler& scheduler,
         const Clock& clock = Clock::Real());

  // Finds a version. It takes no lock and writes to no shared cache line, so it scales with the
  // number of threads.
  // Errors, with TensorFlow Serving's texts: INVALID_ARGUMENT (no name, unknown label), NOT_FOUND
  // (model, version).
  StatusOr<ModelHandle> Find(const ModelSelector& selector) const;
  // As Find, for a request that will run. If the selector has neither version nor label, and the
  // model has an experiment, the experiment chooses the version. `headers` are those of the
  // request.
  StatusOr<ModelHandle> FindToRun(const ModelSelector& selector,
                                  const RequestHeaders& headers) const;
  // Call it after the request has been decoded and before Run. An experiment with a sticky input
  // can choose the arm only now. If the version changes, `handle` also keeps the former one, so
  // names from the signature by which the request was decoded stay valid.
  void Decide(ModelHandle& handle, const InferRequest& request) const {
    if (handle.assignment_ != nullptr) [[unlikely]]
      handle.assignment_->DecideByInput(request, handle.handle_);
  }

  // Waits for a model that has no version ready, if it is a model on demand or if its first load is
  // not over. Then calls `done` with the result of FindToRun, or of Find if `headers` is null. The
  // thread that calls `done` must not be used to compute. Errors:
  //   UNAVAILABLE: the load failed (the message has the reason), it takes longer than
  //     demand_timeout or initial_load_wait, or too many requests wait;
  //   NOT_FOUND: there is no such version; nothing is loaded;
  //   DEADLINE_EXCEEDED: `deadline` has passed.
  // The objects that `selector`, `headers` and `cancel` refer to must live until `done` is called.
  // Returns false, and does nothing, for all other models: then the result of Find is final.
  bool FindOnceLoaded(const ModelSelector& selector, const RequestHeaders* headers,
                      SteadyTime deadline, CancelToken& cancel,
                      absl::AnyInvocable<void(StatusOr<ModelHandle>)> done);

  // Checks the request against the signature, then runs it. It runs inline if the model is cheap
  // and the caller, an event loop, sets `may_run_inline`. Otherwise it waits in the model's queue.
  // A model that only runs others (ModelTraits::runs_others) starts on this thread.
  // `done` gets the parts of the answer as in Model::Run. It may be called before this returns.
  // The caller keeps `handle` until the call of `done` with the last part, which may drop it.
  // Errors in addition to those of the model: FAILED_PRECONDITION (unknown signature),
  // INVALID_ARGUMENT (inputs), DEADLINE_EXCEEDED (passed before the start), CANCELLED,
  // UNAVAILABLE (the queue is full). A request that is cancelled leaves the queue at once.
  void Run(const ModelHandle& handle, const InferRequest& request, bool may_run_inline,
           ResponseCallback done);
  // As Run, for a caller that already has a slot of the model's queue: the model runs on this
  // thread. Takes the lease over if the model answers later.
  void RunHere(const ModelHandle& handle, const InferRequest& request, schedule::Lease& lease,
               ResponseCallback done);

  // For an AnswerCache: runs a request that came to it, or a part of the rows of one, past the
  // cache. `done` gets the parts of the answer as in Run.
  void RunPastCache(const ModelHandle& handle, const InferRequest& request, RunPlace place,
                    ResponseCallback done);

  // Returns CANCELLED or DEADLINE_EXCEEDED if nobody waits for the answer of a request any more.
  // Such a request must not start, and counts as refused.
  Status CheckStillWanted(const CancelToken* cancel, SteadyTime deadline, SteadyTime now) const;
  // Returns the error for a request that `queue` has refused. The request counts as refused.
  Status ErrorOf(const schedule::ModelQueue& queue, schedule::Admission refused,
                 const CancelToken* cancel, SteadyTime deadline) const;
  // A request got no model because none could be loaded in time. It counts as refused.
  void NoteNotAvailable() const {
    if (options_.refusals != nullptr) options_.refusals->not_available.Add();
  }

  // Has the lifecycle of the models: states of versions, names, readiness.
  const core::Manager& manager() const { return manager_; }
  schedule::Scheduler& scheduler() const { return scheduler_; }
  // The queue for the requests of a model.
  schedule::ModelQueue& QueueOf(const ModelHandle& handle) const;
  const Clock& clock() const { return clock_; }
  uint64_t inline_request_bytes_max() const { return options_.inline_request_bytes_max; }
  // The memory that a new request may allocate for its tensors, and for its answer.
  RequestMemory MemoryOfRequest() const {
    return RequestMemory(options_.decoded_tensor_bytes_max, &options_.request_budget);
  }
  RequestMemory MemoryOfAnswer() const {
    return RequestMemory(UINT64_MAX, &options_.request_budget);
  }
  const RequestBudget& request_budget() const { return options_.request_budget; }

 private:
  class QueuedRun;
  class BatchRun;
  class SplitRun;
  class TurnBatches;

  StatusOr<ModelHandle> FindInExperiment(const ModelSelector& selector,
                                         const RequestHeaders& headers) const;

  // Checks the request, starts its shadow copies, and wraps `done` to measure the arm and to keep
  // the request for warm-ups. Returns false if `done` got an error.
  bool BeginRun(const ModelHandle& handle, const InferRequest& request, ResponseCallback& done);
  void RunChecked(const ModelHandle& handle, const InferRequest& request, RunPlace place,
                  ResponseCallback&& done);
  void Queue(const ModelHandle& handle, const InferRequest& request, ResponseCallback&& done);
  // Runs a decoded request that may be joined with others in the slot that it has, or gives it to
  // the run that has taken it along.
  void RunOrGather(const ModelHandle& handle, const InferRequest& request, schedule::Lease& lease,
                   ResponseCallback&& done);
  // Runs the request in parts, or refuses it, if it is too large for one run: then this takes
  // `done` and returns true. `lease` is null if the caller has no slot.
  bool TakeIfTooLarge(const ModelHandle& handle, const InferRequest& request,
                      schedule::Lease* lease, ResponseCallback& done);
  // Runs a request on the event loop that calls, at the end of its turn: together with others that
  // it decodes in this turn.
  void GatherInTurn(const ModelHandle& handle, const InferRequest& request,
                    ResponseCallback&& done);
  // Runs the model on this thread, for so many requests that were joined to one. `lease` is null on
  // an event loop.
  void RunNow(core::Handle handle, const InferRequest& request, schedule::Lease* lease,
              SteadyTime now, size_t requests, ResponseCallback&& done);

  const EngineOptions options_;
  core::Manager& manager_;
  schedule::Scheduler& scheduler_;
  const Clock& clock_;
};

}  // namespace penstock
