// SPDX-License-Identifier: Apache-2.0
#include "ensemble/ensemble_model.h"

#include <utility>

namespace penstock::ensemble {
namespace {

Plan WithSteps(Plan plan, const ModelSteps& steps) {
  plan.info.steps = &steps;
  return plan;
}

}  // namespace

EnsembleModel::EnsembleModel(core::ServableId id, Graph graph, Plan plan,
                             std::span<const ModelHandle> versions, Duration inline_time_max,
                             core::Manager& manager, Engine& engine)
    : graph_(std::move(graph)),
      plan_(WithSteps(std::move(plan), versions_)),
      inline_time_max_(inline_time_max),
      engine_(engine),
      inline_ns_(plan_.steps.size()),
      versions_(std::move(id), graph_, plan_, versions, manager, engine) {}

void EnsembleModel::Run(const InferRequest& request, ResponseCallback done) {
  StepVersions::Handles versions;
  if (Status status = versions_.Pin(versions); !status.ok()) [[unlikely]]
    return AnswerError(done, std::move(status));
  EnsembleRun::Start({plan_, engine_, inline_time_max_, inline_ns_}, std::move(versions), request,
                     std::move(done));
}

}  // namespace penstock::ensemble
