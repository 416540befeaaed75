// SPDX-License-Identifier: Apache-2.0
#include "infer/experiments/experiments.h"

#include <utility>

#include "base/os/machine.h"
#include "base/string_map.h"
#include "infer/experiments/assignment.h"

namespace penstock {
namespace {

constexpr int kShadowNice = 10;
// Each shadow limits its own copies in flight. This limit is for configurations with very many
// shadows.
constexpr size_t kQueuedShadowsMax = 10'000;

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

// Immutable.
struct Experiments::Table {
  StringMap<ExperimentRef> experiments;
};

Experiments::Experiments(MetricsRegistry& metrics) : metrics_(metrics) {}

Experiments::~Experiments() { delete pool_.load(); }

ExperimentRef Experiments::Find(std::string_view model) const {
  const ReadMostly<Table>::Reader table(table_);
  if (table.get() == nullptr) return nullptr;
  const auto found = table->experiments.find(model);
  return found == table->experiments.end() ? nullptr : found->second;
}

std::unique_ptr<Assignment> Experiments::Assign(std::string_view model,
                                                const RequestHeaders& headers,
                                                core::Manager& manager, const Clock& clock,
                                                StatusOr<core::Handle>& handle) const {
  ExperimentRef experiment = Find(model);
  // The table may have changed since the caller asked any().
  if (experiment == nullptr) return nullptr;
  auto assignment =
      std::make_unique<ExperimentAssignment>(std::move(experiment), *this, manager, clock);
  handle = assignment->DecideByHeader(headers);
  return assignment;
}

void Experiments::Set(const ExperimentList& list) {
  const MutexLock lock(mutex_);
  auto next = std::make_unique<Table>();
  bool has_shadow = false;
  for (const auto& [model, options] : list) {
    if (options.empty()) continue;
    has_shadow |= !options.shadows.empty();
    ExperimentRef experiment = Find(model);
    // An unchanged experiment stays the same object, because its shadows count their copies in
    // flight.
    if (experiment == nullptr || experiment->options() != options)
      experiment = std::make_shared<const Experiment>(model, options, metrics_);
    next->experiments.emplace(model, std::move(experiment));
  }
  // Few servers have shadows, so the threads start with the first one. They stay, because requests
  // use the pool without a lock.
  if (has_shadow && pool_.load() == nullptr) {
    pool_ = new ThreadPool({.name = "shadow",
                            .threads = UsableCpus(),
                            .queue_tasks_max = kQueuedShadowsMax,
                            .nice = kShadowNice});
  }
  if (next->experiments.empty()) next.reset();
  set_any(next != nullptr);
  table_.Set(std::move(next));
}

bool Experiments::SubmitShadow(Task task) const { return pool_.load()->Submit(std::move(task)); }

}  // namespace penstock
