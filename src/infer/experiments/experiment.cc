// SPDX-License-Identifier: Apache-2.0
#include "infer/experiments/experiment.h"

#include <utility>

namespace penstock {
namespace {

MetricLabels ArmLabels(const std::string& model, const std::string& name) {
  return {{"model_name", model}, {"arm", name}};
}
MetricLabels ShadowLabels(const std::string& model, const std::string& name) {
  return {{"model_name", model}, {"shadow", name}};
}

Counter& DropCounter(MetricsRegistry& metrics, MetricLabels labels, std::string reason) {
  labels.emplace_back("reason", std::move(reason));
  return metrics.AddCounter("penstock_shadow_dropped_total",
                            "Copies for a shadow that were not run, by reason.", labels);
}

}  // namespace

Experiment::Arm::Arm(MetricsRegistry& metrics, const std::string& model, const std::string& name)
    : outcomes(metrics, "penstock_arm", "an arm of an experiment got", ArmLabels(model, name)),
      fallbacks(metrics.AddCounter(
          "penstock_arm_fallbacks_total",
          "Requests that another arm got because this one, which they belong to, was not ready.",
          ArmLabels(model, name))) {}

Experiment::Shadow::Shadow(MetricsRegistry& metrics, const std::string& model,
                           const std::string& name)
    : outcomes(metrics, "penstock_shadow", "a shadow got", ShadowLabels(model, name)),
      busy(DropCounter(metrics, ShadowLabels(model, name), "busy")),
      not_ready(DropCounter(metrics, ShadowLabels(model, name), "not_ready")) {}

Experiment::Experiment(std::string model, ExperimentOptions options, MetricsRegistry& metrics)
    : model_(std::move(model)), options_(std::move(options)) {
  for (const ArmOptions& arm : options_.arms)
    arms_.push_back(std::make_unique<Arm>(metrics, model_, arm.name));
  for (const ShadowOptions& shadow : options_.shadows)
    shadows_.push_back(std::make_unique<Shadow>(metrics, model_, shadow.name));
}

}  // namespace penstock
