// SPDX-License-Identifier: Apache-2.0
// The experiments that are in force, their metrics, and the threads that run the shadow copies.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "base/read_mostly.h"
#include "infer/experiments/experiment_options.h"
#include "infer/experiments/outcome_metrics.h"
#include "infer/traffic.h"

namespace penstock {

// The experiment of one model. Immutable but for its metrics and the counts in flight, so
// thread-safe.
class Experiment final {
 public:
  struct Arm {
    Arm(MetricsRegistry& metrics, const std::string& model, const std::string& name);
    OutcomeMetrics outcomes;
    Counter& fallbacks;  // requests that belong to this arm, but it was not ready
  };
  struct Shadow {
    Shadow(MetricsRegistry& metrics, const std::string& model, const std::string& name);
    OutcomeMetrics outcomes;
    Counter& busy;       // copies dropped because too many were in flight or queued
    Counter& not_ready;  // copies dropped because the target was not ready
    std::atomic<int> in_flight{0};
  };

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

// The key is the name of the model.
using ExperimentList = std::map<std::string, ExperimentOptions, std::less<>>;

// The table of all experiments. Every request searches it, so reading takes no lock. Thread-safe.
// `metrics` must outlive it and every ExperimentRef.
class Experiments final : public Traffic {
 public:
  explicit Experiments(MetricsRegistry& metrics);
  // Waits for the shadow copies in flight.
  ~Experiments() override;
  Experiments(const Experiments&) = delete;
  Experiments& operator=(const Experiments&) = delete;

  std::unique_ptr<Assignment> Assign(std::string_view model, const RequestHeaders& headers,
                                     core::Manager& manager, const Clock& clock,
                                     StatusOr<core::Handle>& handle) const override;

  // Returns null if the model has no experiment. Takes no lock.
  ExperimentRef Find(std::string_view model) const;

  // Replaces all experiments. A request that has begun keeps the experiment that it found. An
  // experiment with the same options as before stays the same object, so its shadows keep their
  // counts in flight. Waits, for a short time, for requests that are inside Find.
  void Set(const ExperimentList& list) EXCLUDES(mutex_);

  // Runs a shadow copy on a thread of low OS priority. Returns false if the queue is full.
  [[nodiscard]] bool SubmitShadow(Task task) const;

 private:
  struct Table;

  MetricsRegistry& metrics_;
  // Every request reads it. An Experiment outlives its table: each request that found it holds an
  // ExperimentRef.
  ReadMostly<Table> table_;
  Mutex mutex_;                             // held while the table is replaced
  std::atomic<ThreadPool*> pool_{nullptr};  // owned; made when the first shadow is configured
};

}  // namespace penstock
