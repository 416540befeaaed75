// SPDX-License-Identifier: Apache-2.0
#include "infer/served_model.h"

#include <string>

namespace penstock {
namespace {

MetricLabels Labels(const core::ServableId& id,
                    std::initializer_list<MetricLabels::value_type> more) {
  MetricLabels labels = {{"model_name", id.name},
                         {"model_version", std::to_string(id.version.value)}};
  labels.insert(labels.end(), more);
  return labels;
}

}  // namespace

ServedModel::ServedModel(const core::ServableId& id, std::unique_ptr<Model> model,
                         MetricsRegistry& metrics, const InlineOptions& inline_options)
    : model_(std::move(model)),
      info_(model_->info()),
      run_latency_(metrics.AddHistogram(
          ":tensorflow:serving:runtime_latency",
          "Time from the start of a run to its answer, microseconds.", LatencyBucketsUs(),
          Labels(id, {{"API", "Predict"}, {"runtime", info_.platform}}))),
      pool_wait_(metrics.AddHistogram("penstock_stage_latency_us",
                                      "Time that requests spend in a stage, microseconds.",
                                      LatencyBucketsUs(), Labels(id, {{"stage", "pool_wait"}}))),
      run_times_(inline_options) {}

void ServedModel::RecordStages(const StageTimes& times) {
  if (times.run_end != SteadyTime{}) RecordRun(times.run_end - times.run_start);
}

const ExamplePlans& ServedModel::examples() const {
  std::call_once(examples_once_, [this] {
    // Only settings can be wrong, and there are none.
    if (!examples_) examples_ = *ExamplePlans::Make(info_);
  });
  return *examples_;
}

std::unique_ptr<core::Servable> MakeServedModel(const core::ServableId& id,
                                                std::unique_ptr<Model> model,
                                                MetricsRegistry& metrics,
                                                const InlineOptions& inline_options) {
  return std::make_unique<ServedModel>(id, std::move(model), metrics, inline_options);
}

}  // namespace penstock
