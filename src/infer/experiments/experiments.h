// SPDX-License-Identifier: Apache-2.0
// The experiments that are in force.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "base/read_mostly.h"
#include "infer/experiments/experiment.h"
#include "infer/experiments/experiment_options.h"
#include "infer/experiments/shadow_pool.h"
#include "infer/traffic.h"

namespace penstock {

// The key is the name of the model.
using ExperimentList = std::map<std::string, ExperimentOptions, std::less<>>;

// The table of all experiments. Every request searches it, so reading takes no lock, and costs one
// load if there is no experiment.
//
//   Experiments experiments(metrics);
//   experiments.Set({{"m", {.arms = {{.name = "a", .target = {.model = "m"}, .weight = 9},
//                                    {.name = "b", .target = {.model = "m2"}, .weight = 1}}}}});
//   engine_options.traffic = &experiments;
//
// Thread-safe. `metrics` must outlive it and every ExperimentRef.
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

  // Ends the shadow copies that answer in parts and keep this version loaded, or all copies.
  void EndShadowsOf(const core::ServableId& id) { shadow_pool_.copies().EndThoseOf(id); }
  void EndShadows() { shadow_pool_.copies().EndAll(); }

 private:
  struct Table;

  MetricsRegistry& metrics_;
  // Every request reads it. An Experiment outlives its table: each request that found it holds an
  // ExperimentRef.
  ReadMostly<Table> table_;
  Mutex mutex_;             // held while the table is replaced
  ShadowPool shadow_pool_;  // the last member: its destructor waits for copies in flight
};

}  // namespace penstock
