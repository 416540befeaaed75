// SPDX-License-Identifier: Apache-2.0
#include "models/unserved_arms.h"

#include <algorithm>
#include <string_view>

namespace penstock {
namespace {

// The reason why nothing serves the target. Empty: a version serves it, or may do so later.
std::string WhyUnserved(const ExperimentTarget& target, const std::vector<ConfiguredModel>& models,
                        const ModelSet& set) {
  const auto model = std::ranges::find(models, target.model, &ConfiguredModel::name);
  if (model == models.end()) return "";  // CheckModels refuses such a list
  if (!target.label.empty() && !model->labels.contains(target.label))
    return fmt::format("model {} has no label \"{}\"", target.model, target.label);
  if (!target.version) return "";
  if (set.LacksVersion(*model, *target.version))
    return fmt::format("model {} has no version {}", target.model, target.version->value);
  const bool is_selected = model->versions != ConfiguredModel::Versions::kSpecific ||
                           std::ranges::count(model->specific, *target.version) > 0;
  if (is_selected || LabelledVersions(*model).contains(*target.version)) return "";
  return fmt::format("version {} of model {} is not selected by its model_version_policy",
                     target.version->value, target.model);
}

}  // namespace

std::vector<std::string> UnservedArms(const std::vector<ConfiguredModel>& models,
                                      const ModelSet& set) {
  std::vector<std::string> warnings;
  const auto check = [&](const ConfiguredModel& model, std::string_view what,
                         const std::string& name, const ExperimentTarget& target) {
    const std::string why = WhyUnserved(target, models, set);
    if (why.empty()) return;
    warnings.push_back(
        fmt::format("nothing serves the {} {} of model {}: {}", what, name, model.name, why));
  };
  for (const ConfiguredModel& model : models) {
    for (const ArmOptions& arm : model.experiment.arms) check(model, "arm", arm.name, arm.target);
    for (const ShadowOptions& shadow : model.experiment.shadows)
      check(model, "shadow", shadow.name, shadow.target);
  }
  return warnings;
}

}  // namespace penstock
