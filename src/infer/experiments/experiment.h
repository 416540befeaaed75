// SPDX-License-Identifier: Apache-2.0
// The experiment of one model, with its metrics.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics/metrics.h"
#include "infer/experiments/experiment_options.h"
#include "infer/experiments/outcome_metrics.h"

namespace penstock {

// The experiment of one model. Immutable but for its metrics and the counts in flight, so
// thread-safe.
class Experiment final {
 public:
  // The counts of an arm: the requests that it answered, and how.
  struct Arm {
    Arm(MetricsRegistry& metrics, const std::string& model, const std::string& name);
    OutcomeMetrics outcomes;
    Counter& fallbacks;  // requests that belong to this arm, but it was not ready
  };
  // The counts of a shadow. Its answers are dropped, so these numbers are its only result.
  struct Shadow {
    Shadow(MetricsRegistry& metrics, const std::string& model, const std::string& name);
    OutcomeMetrics outcomes;
    Counter& busy;       // copies dropped because too many were in flight or queued
    Counter& not_ready;  // copies dropped because the target was not ready
    std::atomic<int> in_flight{0};
  };

  // Registers the metrics of all arms and shadows, so that they are visible before the first
  // request.
  Experiment(std::string model, ExperimentOptions options, MetricsRegistry& metrics);

  const std::string& model() const { return model_; }
  const ExperimentOptions& options() const { return options_; }
  // The positions are those of the arms and shadows in the options.
  Arm& arm(size_t position) const { return *arms_[position]; }
  Shadow& shadow(size_t position) const { return *shadows_[position]; }

 private:
  const std::string model_;
  const ExperimentOptions options_;
  std::vector<std::unique_ptr<Arm>> arms_;
  std::vector<std::unique_ptr<Shadow>> shadows_;
};
using ExperimentRef = std::shared_ptr<const Experiment>;

}  // namespace penstock
