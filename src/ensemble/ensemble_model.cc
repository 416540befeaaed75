// SPDX-License-Identifier: Apache-2.0
#include "ensemble/ensemble_model.h"

#include <algorithm>
#include <utility>

namespace penstock::ensemble {

EnsembleModel::EnsembleModel(Graph graph, Plan plan, std::span<const ModelHandle> versions,
                             Duration inline_time_max, Engine& engine)
    : graph_(std::move(graph)),
      plan_(std::move(plan)),
      inline_time_max_(inline_time_max),
      engine_(engine),
      fitting_(versions.size()),
      inline_ns_(plan_.steps.size()) {
  for (size_t i = 0; i < versions.size(); ++i) fitting_[i] = &versions[i].model();
}

void EnsembleModel::Run(const InferRequest& request, ResponseCallback done) {
  Versions versions;
  if (Status status = PinVersions(versions); !status.ok()) [[unlikely]]
    return AnswerError(done, std::move(status));
  EnsembleRun::Start({plan_, engine_, inline_time_max_, inline_ns_}, std::move(versions), request,
                     std::move(done));
}

Status EnsembleModel::PinVersions(Versions& versions) {
  bool is_new = false;
  for (uint32_t i = 0; i < plan_.models.size(); ++i) {
    const StepModel& model = plan_.models[i];
    StatusOr<ModelHandle> version =
        engine_.Find({.name = model.name, .version = model.version, .label = model.label});
    if (!version.ok()) [[unlikely]] {
      // The request names only the ensemble, so a model that is not there is no fault of it.
      const auto step = std::ranges::find(plan_.steps, i, &PlanStep::model);
      return Error(StatusCode::kUnavailable, "step '{}': {}", step->name,
                   MessageOf(version.status()));
    }
    is_new |= &version->model() != fitting_[i].load(std::memory_order_relaxed);
    versions.push_back(*std::move(version));
  }
  return is_new ? CheckNewVersions(versions) : OkStatus();
}

void EnsembleModel::SetBrokenCallback(core::BrokenCallback callback) {
  MutexLock lock(mutex_);
  on_broken_ = std::move(callback);
}

Status EnsembleModel::CheckNewVersions(std::span<const ModelHandle> versions) {
  std::vector<const ModelInfo*> infos;
  for (const ModelHandle& version : versions) infos.push_back(&version.info());
  const StatusOr<Plan> plan = MakePlan(graph_, infos);
  std::string which;
  for (const ModelHandle& version : versions)
    which += fmt::format("{}{}", which.empty() ? "" : ", ", version.id().ToString());
  if (!plan.ok()) {
    return Error(StatusCode::kUnavailable, "the steps do not fit each other with {}: {}", which,
                 MessageOf(plan.status()));
  }
  if (HasSameTensors(plan->info, plan_.info)) {
    for (size_t i = 0; i < versions.size(); ++i)
      fitting_[i].store(&versions[i].model(), std::memory_order_relaxed);
    return OkStatus();
  }
  Status error =
      Error(StatusCode::kUnavailable,
            "with {} the ensemble has other inputs or outputs, so it is loaded again", which);
  core::BrokenCallback on_broken;
  {
    MutexLock lock(mutex_);
    on_broken = std::exchange(on_broken_, nullptr);  // it is called once
  }
  if (on_broken) on_broken(error);
  return error;
}

}  // namespace penstock::ensemble
