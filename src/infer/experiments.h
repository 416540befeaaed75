// SPDX-License-Identifier: Apache-2.0
// The experiments of all models: which are in force, their metrics, and the threads of the shadows.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "core/lookup.h"
#include "infer/experiment_options.h"
#include "infer/outcome_metrics.h"

namespace penstock {

// One model's. Immutable but for its metrics and the counts in flight, so thread-safe.
class Experiment final {
 public:
  struct Arm {
    Arm(MetricsRegistry& metrics, const std::string& model, const std::string& name);
    OutcomeMetrics outcomes;
    Counter& fallbacks;  // requests that it should have had, but it was not ready
  };
  struct Shadow {
    Shadow(MetricsRegistry& metrics, const std::string& model, const std::string& name);
    OutcomeMetrics outcomes;
    Counter& busy;       // copies dropped for want of a thread
    Counter& not_ready;  // and because the target was not ready
    std::atomic<int> in_flight{0};
  };

  Experiment(std::string model, ExperimentOptions options, MetricsRegistry& metrics);

  const std::string& model() const { return model_; }
  const ExperimentOptions& options() const { return options_; }
  // As in the options.
  Arm& arm(size_t position) const { return *arms_[position]; }
  Shadow& shadow(size_t position) const { return *shadows_[position]; }

 private:
  const std::string model_;
  const ExperimentOptions options_;
  std::vector<std::unique_ptr<Arm>> arms_;
  std::vector<std::unique_ptr<Shadow>> shadows_;
};
using ExperimentRef = std::shared_ptr<const Experiment>;

// By name of the model.
using ExperimentList = std::map<std::string, ExperimentOptions, std::less<>>;

// Thread-safe. `metrics` outlives it and every ExperimentRef.
class Experiments final {
 public:
  explicit Experiments(MetricsRegistry& metrics);
  // Waits for the copies in flight.
  ~Experiments();
  Experiments(const Experiments&) = delete;
  Experiments& operator=(const Experiments&) = delete;

  // True if there is an experiment on any model: all that a request costs if there is none.
  bool any() const { return table_.load(std::memory_order_relaxed) != nullptr; }

  // Null if there is none on the model. No lock.
  ExperimentRef Find(std::string_view model) const;

  // Replaces all; requests that have begun end with what they began with. An experiment that stays
  // the same goes on, with its counts in flight. Waits, shortly, for requests inside Find.
  void Set(const ExperimentList& list) EXCLUDES(mutex_);

  // Where shadows run: threads of low OS priority. False if the queue is full.
  [[nodiscard]] bool SubmitShadow(Task task) const;

 private:
  struct Table;

  MetricsRegistry& metrics_;
  std::atomic<const Table*> table_{nullptr};  // owned
  // How many requests of a thread are inside Find: a table may be freed once all were seen at 0
  // after it was replaced (the scheme of core/lookup.h).
  mutable core::ThreadCells<std::atomic<int64_t>> readers_;
  Mutex mutex_;                             // held while the table is replaced
  std::atomic<ThreadPool*> pool_{nullptr};  // owned; made when the first shadow comes
};

}  // namespace penstock
