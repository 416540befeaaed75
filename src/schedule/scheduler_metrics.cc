// SPDX-License-Identifier: Apache-2.0
#include "schedule/scheduler_metrics.h"

#include <string>
#include <vector>

namespace penstock::schedule {
namespace {

// One number of each model.
std::vector<MetricSample> PerModel(const Scheduler& scheduler,
                                   uint64_t (*read)(const QueueState&)) {
  std::vector<MetricSample> samples;
  for (const auto& [model, state] : ModelQueueStates(scheduler))
    samples.push_back({{{"model_name", model}}, static_cast<double>(read(state))});
  return samples;
}

}  // namespace

void AddSchedulerMetrics(MetricsRegistry& metrics, const Scheduler& scheduler) {
  const auto add = [&](std::string_view name, std::string_view help, auto read) {
    metrics.AddCollector(name, help, MetricKind::kGauge, read);
  };
  add("penstock_compute_queue_length", "Requests that wait for a compute slot.",
      [&scheduler]() -> std::vector<MetricSample> {
        return {{{}, static_cast<double>(scheduler.queue_length())}};
      });
  add("penstock_compute_slots", "Runs that may compute at the same time.",
      [&scheduler]() -> std::vector<MetricSample> {
        return {{{}, static_cast<double>(scheduler.slots())}};
      });
  add("penstock_compute_slots_allowed", "Runs that may compute now: as many as keep the CPUs busy.",
      [&scheduler]() -> std::vector<MetricSample> {
        return {{{}, static_cast<double>(scheduler.slots_allowed())}};
      });
  add("penstock_compute_slots_taken", "Compute slots that are taken now.",
      [&scheduler]() -> std::vector<MetricSample> {
        return {{{}, static_cast<double>(scheduler.slots_taken())}};
      });
  add("penstock_model_queue_length", "Requests that wait for a run of the model.", [&scheduler] {
    return PerModel(scheduler, [](const QueueState& state) { return state.requests; });
  });
  add("penstock_model_queue_bytes", "Bytes of the requests that wait for a run of the model.",
      [&scheduler] {
        return PerModel(scheduler, [](const QueueState& state) { return state.bytes; });
      });
  add("penstock_model_runs",
      "Runs of the model that have begun and not ended, but those on event "
      "loops.",
      [&scheduler] {
        return PerModel(scheduler, [](const QueueState& state) { return uint64_t{state.runs}; });
      });
}

}  // namespace penstock::schedule
