// SPDX-License-Identifier: Apache-2.0
#include "infer/experiments/experiments.h"

#include <utility>

#include "base/string_map.h"
#include "infer/experiments/assignment.h"

namespace penstock {
// Immutable.
struct Experiments::Table {
  StringMap<ExperimentRef> experiments;
};

Experiments::Experiments(MetricsRegistry& metrics) : metrics_(metrics) {}

Experiments::~Experiments() = default;

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
      std::make_unique<ExperimentAssignment>(std::move(experiment), shadow_pool_, manager, clock);
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
  if (has_shadow) shadow_pool_.Start();
  if (next->experiments.empty()) next.reset();
  set_any(next != nullptr);
  table_.Set(std::move(next));
}

}  // namespace penstock
