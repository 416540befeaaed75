// SPDX-License-Identifier: Apache-2.0
// Finds the version that a request means and runs it, on the caller's thread if the model is cheap,
// else on the compute pool. Front ends reach it through InferCall.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/metrics.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "core/manager.h"
#include "infer/model.h"
#include "infer/request.h"
#include "infer/run_times.h"
#include "net/headers.h"

namespace penstock {

class Experiments;
struct Trial;

struct EngineOptions {
  // Requests with a larger body, or more input bytes, than this are never decoded or run on an
  // event loop.
  uint64_t inline_request_bytes_max = 64 * 1024;
  // What the tensors of one request may take beyond its message.
  uint64_t decoded_tensor_bytes_max = kDecodedTensorBytesMax;
  // Counts the tensors and answers of all requests. Null: nothing does.
  RequestBudget request_budget = {};
  const Experiments* experiments = nullptr;  // null: none. Outlives the engine
  // A request waits no longer for a model that is loaded on demand.
  Duration demand_timeout = std::chrono::seconds(30);
  // Nor for the first load of any other model; 0: it does not wait.
  Duration initial_load_wait = std::chrono::seconds(10);
};

// Whether a request may still start: CANCELLED or DEADLINE_EXCEEDED if nobody waits for its answer.
Status CheckStillWanted(const CancelToken* cancel, SteadyTime deadline, SteadyTime now);

// UNAVAILABLE: the compute pool takes no more requests.
Status PoolIsFull();

// What a loader of a model returns: the model with its run-time statistics and metrics. The engine
// runs only servables made by this. `metrics` outlives the servable.
std::unique_ptr<core::Servable> MakeServedModel(const core::ServableId& id,
                                                std::unique_ptr<Model> model,
                                                MetricsRegistry& metrics,
                                                const InlineOptions& inline_options = {});

// A version that cannot be unloaded while this lives. Move-only; one thread at a time; may be
// destroyed on any.
class ModelHandle {
 public:
  const Model& model() const;
  const ModelInfo& info() const { return model().info(); }
  const core::ServableId& id() const { return handle_.id(); }

 private:
  friend class Engine;
  friend class ServedModel;
  struct TrialDeleter {
    void operator()(Trial* trial) const;
  };
  explicit ModelHandle(core::Handle handle) : handle_(std::move(handle)) {}
  core::Handle handle_;
  std::unique_ptr<Trial, TrialDeleter> trial_;  // null: the model has no experiment
};

// Thread-safe. `manager`, `pool` and `clock` outlive it.
class Engine final {
 public:
  Engine(EngineOptions options, core::Manager& manager, Executor& pool,
         const Clock& clock = Clock::Real());

  // No lock and no write to a shared cache line.
  // Errors, with TensorFlow Serving's texts: INVALID_ARGUMENT (no name, unknown label), NOT_FOUND
  // (model, version).
  StatusOr<ModelHandle> Find(const ModelSelector& selector) const;
  // The same for a request that is to be run, and whose head is this: if it names neither version
  // nor label, the experiment on its model decides which version it gets.
  StatusOr<ModelHandle> FindToRun(const ModelSelector& selector,
                                  const net::RequestHead& head) const;
  // Call it when the request has been read, before Run: an experiment whose requests stick to an
  // input decides only now. What was read by the signature of the version before stays valid.
  void Decide(ModelHandle& handle, const InferRequest& request) const {
    if (handle.trial_ != nullptr) [[unlikely]]
      DecideByInput(handle, request);
  }

  // For a model that has no version ready and is loaded on demand, or the first load of which is
  // not over: waits for it, and then calls `done` with what FindToRun says, or Find if `head` is
  // null, on a thread that shall not compute. UNAVAILABLE, with the reason, if it cannot be loaded,
  // takes longer than demand_timeout or initial_load_wait, or if too many wait; NOT_FOUND, without
  // a load, if there is no such version; DEADLINE_EXCEEDED at `deadline`. What `selector`, `head`
  // and `cancel` refer to lives until then. False, and nothing is done, for other models: what Find
  // says stands.
  bool FindOnceLoaded(const ModelSelector& selector, const net::RequestHead* head,
                      SteadyTime deadline, CancelToken& cancel,
                      absl::AnyInvocable<void(StatusOr<ModelHandle>)> done);

  // Checks the request against the signature, then runs it: inline if the model is cheap and
  // `may_run_inline` (the caller is an event loop), else on the pool, whose thread then calls
  // `done`. `done` as for Model::Run; it may run before this returns.
  // The caller keeps `handle` until the last part, in which it may drop it. Errors beside the
  // model's own: FAILED_PRECONDITION (unknown signature), INVALID_ARGUMENT (inputs),
  // DEADLINE_EXCEEDED (passed before the start), CANCELLED, UNAVAILABLE (pool's queue full).
  void Run(const ModelHandle& handle, const InferRequest& request, bool may_run_inline,
           ResponseCallback done);
  // The same for a caller that is on a thread of the pool already: runs it there. `pool_wait`: how
  // long the caller waited for the thread.
  void RunHere(const ModelHandle& handle, const InferRequest& request, Duration pool_wait,
               ResponseCallback done);

  // The lifecycle side: states of versions, names, readiness.
  const core::Manager& manager() const { return manager_; }
  // Where the models run: for a front end's work that is too long for an event loop.
  Executor& pool() const { return pool_; }
  const Clock& clock() const { return clock_; }
  uint64_t inline_request_bytes_max() const { return options_.inline_request_bytes_max; }
  // What a new request may allocate for its tensors, and its answer.
  RequestMemory MemoryOfRequest() const {
    return RequestMemory(options_.decoded_tensor_bytes_max, &options_.request_budget);
  }
  RequestMemory MemoryOfAnswer() const {
    return RequestMemory(UINT64_MAX, &options_.request_budget);
  }

 private:
  struct PoolRun;

  StatusOr<ModelHandle> FindInExperiment(const ModelSelector& selector,
                                         const net::RequestHead& head) const;
  void DecideByInput(ModelHandle& handle, const InferRequest& request) const;

  // Checks the request, and has what an experiment wants of it done. False: `done` got an error.
  bool BeginRun(const ModelHandle& handle, const InferRequest& request, ResponseCallback& done);
  void RunInline(const ModelHandle& handle, const InferRequest& request, ResponseCallback&& done);
  void RunOnPool(const ModelHandle& handle, const InferRequest& request, ResponseCallback&& done);
  void RunOnPoolThread(core::Handle handle, const InferRequest& request, Duration pool_wait,
                       ResponseCallback&& done);

  const EngineOptions options_;
  core::Manager& manager_;
  Executor& pool_;
  const Clock& clock_;
};

}  // namespace penstock
