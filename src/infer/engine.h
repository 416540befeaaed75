// SPDX-License-Identifier: Apache-2.0
// Where front ends meet models: finds the version that a request means and runs it, on the caller's
// thread if the model is cheap, else on the compute pool.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/metrics.h"
#include "base/status.h"
#include "core/manager.h"
#include "infer/model.h"
#include "infer/request.h"

namespace penstock {

struct EngineOptions {
  // A model runs inline (on the event loop) while the 99th percentile of its run time stays under
  // this; 0 = never.
  Duration inline_run_time_max = std::chrono::microseconds(50);
  // One inline run longer than this sends the model back to the pool.
  Duration inline_run_time_limit = std::chrono::milliseconds(1);
  // Runs on the pool before a model may go inline.
  int inline_after_runs = 100;
  // Requests with more input bytes than this are never run inline.
  uint64_t inline_request_bytes_max = 64 * 1024;
};

// What a loader of a model returns: the model with its run-time statistics and metrics. The engine
// runs only servables made by this. `metrics` outlives the servable.
std::unique_ptr<core::Servable> MakeServedModel(const core::ServableId& id,
                                                std::unique_ptr<Model> model,
                                                MetricsRegistry& metrics);

// A version that cannot be unloaded while this lives. Move-only; one thread at a time; may be
// destroyed on any.
class ModelHandle {
 public:
  const Model& model() const;
  const ModelInfo& info() const { return model().info(); }
  const core::ServableId& id() const { return handle_.id(); }

 private:
  friend class Engine;
  explicit ModelHandle(core::Handle handle) : handle_(std::move(handle)) {}
  core::Handle handle_;
};

// Thread-safe. `manager`, `pool` and `clock` outlive it.
class Engine final {
 public:
  Engine(EngineOptions options, core::Manager& manager, Executor& pool,
         const Clock& clock = Clock::Real());
  ~Engine();

  // No lock and no write to a shared cache line.
  // Errors, with TensorFlow Serving's texts: INVALID_ARGUMENT (no name, unknown label), NOT_FOUND
  // (model, version).
  StatusOr<ModelHandle> Find(const ModelSelector& selector) const;

  // Checks the request against the signature, then runs it: inline if the model is cheap and
  // `may_run_inline` (the caller is an event loop), else on the pool, whose thread then calls
  // `done`. `done` as for Model::Run; it may run before this returns.
  // Keeps nothing of `handle`: the caller keeps it until the last part. Errors beside the model's
  // own: FAILED_PRECONDITION (unknown signature), INVALID_ARGUMENT (inputs), DEADLINE_EXCEEDED
  // (passed before the start), CANCELLED, UNAVAILABLE (pool's queue full).
  void Run(const ModelHandle& handle, const InferRequest& request, bool may_run_inline,
           ResponseCallback done);

  // The lifecycle side: states of versions, names, readiness.
  const core::Manager& manager() const { return manager_; }

 private:
  const EngineOptions options_;
  core::Manager& manager_;
  Executor& pool_;
  const Clock& clock_;
};

}  // namespace penstock
