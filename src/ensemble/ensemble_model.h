// SPDX-License-Identifier: Apache-2.0
// An ensemble, as the model that clients see.
#pragma once

#include <atomic>
#include <span>
#include <vector>

#include "base/clock.h"
#include "core/manager.h"
#include "ensemble/ensemble_run.h"
#include "ensemble/graph.h"
#include "ensemble/plan.h"
#include "ensemble/step_versions.h"
#include "infer/engine.h"
#include "infer/model.h"

namespace penstock::ensemble {

// Runs a graph of other models. Each request finds the versions of all steps when it starts, and
// keeps them until it ends; StepVersions says which. The steps run through the engine, as requests
// of clients do. Thread-safe. `manager` and `engine` must outlive it.
class EnsembleModel final : public Model {
 public:
  // `versions` are those by which `plan` was made, in the order of Plan::models. Cheap steps run on
  // the event loop until a request has held the loop for `inline_time_max`.
  EnsembleModel(core::ServableId id, Graph graph, Plan plan, std::span<const ModelHandle> versions,
                Duration inline_time_max, core::Manager& manager, Engine& engine);

  const ModelInfo& info() const override { return plan_.info; }
  void Run(const InferRequest& request, ResponseCallback done) override;

 private:
  const Graph graph_;
  const Plan plan_;
  const Duration inline_time_max_;
  Engine& engine_;
  std::vector<std::atomic<uint32_t>> inline_ns_;  // see EnsembleRun::Ensemble
  StepVersions versions_;                         // after what it refers to
};

}  // namespace penstock::ensemble
