// SPDX-License-Identifier: Apache-2.0
#include "ensemble/ensemble_loader.h"

#include <algorithm>
#include <vector>

#include "ensemble/ensemble_model.h"
#include "ensemble/plan.h"
#include "infer/served_model.h"

namespace penstock::ensemble {

StatusOr<std::unique_ptr<core::Servable>> EnsembleLoader::Load() {
  std::vector<ModelHandle> versions;
  std::vector<const ModelInfo*> infos;
  for (const StepModel& model : ModelsOf(graph_)) {
    StatusOr<ModelHandle> version =
        engine_.Find({.name = model.name, .version = model.version, .label = model.label});
    if (!version.ok()) {
      const auto step = std::ranges::find(graph_.steps, model, &Step::model);
      return Error(StatusCode::kUnavailable, "step '{}': {}", step->name,
                   MessageOf(version.status()));
    }
    infos.push_back(&version->info());
    versions.push_back(*std::move(version));
  }
  ASSIGN_OR_RETURN(Plan plan, MakePlan(graph_, infos));
  return MakeServedModel(
      id_,
      std::make_unique<EnsembleModel>(id_, graph_, std::move(plan), versions,
                                      inline_options_.run_time_max, manager_, engine_),
      metrics_, inline_options_);
}

}  // namespace penstock::ensemble
