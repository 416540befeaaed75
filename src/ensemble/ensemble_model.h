// SPDX-License-Identifier: Apache-2.0
// An ensemble, as the model that clients see.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "ensemble/ensemble_run.h"
#include "ensemble/graph.h"
#include "ensemble/plan.h"
#include "infer/engine.h"
#include "infer/model.h"

namespace penstock::ensemble {

// Runs a graph of other models. Each request finds the versions of all steps when it starts, and
// keeps them until it ends. The steps run through the engine, as requests of clients do.
//
// The plan was checked with the versions that were ready at the load. A newer version of a model
// takes part as soon as it is ready; the first request that finds it checks it. Thread-safe.
// `engine` must outlive it.
class EnsembleModel final : public Model {
 public:
  // `versions` are those by which `plan` was made, in the order of Plan::models. Cheap steps run on
  // the event loop until a request has held the loop for `inline_time_max`.
  EnsembleModel(Graph graph, Plan plan, std::span<const ModelHandle> versions,
                Duration inline_time_max, Engine& engine);

  const ModelInfo& info() const override { return plan_.info; }
  void Run(const InferRequest& request, ResponseCallback done) override;
  void SetBrokenCallback(core::BrokenCallback callback) override EXCLUDES(mutex_);

 private:
  using Versions = EnsembleRun::Versions;

  // Finds the versions of all steps, and checks that the plan fits them.
  Status PinVersions(Versions& versions);
  // OK if the plan fits these versions. UNAVAILABLE, with the way to the fault, if it does not. If
  // another plan would fit, the ensemble reports itself broken, so that it is loaded again.
  Status CheckNewVersions(std::span<const ModelHandle> versions) EXCLUDES(mutex_);

  const Graph graph_;
  const Plan plan_;
  const Duration inline_time_max_;
  Engine& engine_;
  // The versions that were checked last. A pointer to a version that is gone is only compared. If
  // the memory of it is used again for a version that was not checked, the steps still check their
  // inputs.
  std::vector<std::atomic<const Model*>> fitting_;
  std::vector<std::atomic<uint32_t>> inline_ns_;  // see EnsembleRun::Ensemble

  Mutex mutex_;
  core::BrokenCallback on_broken_ GUARDED_BY(mutex_);
};

}  // namespace penstock::ensemble
