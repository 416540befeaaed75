// SPDX-License-Identifier: Apache-2.0
// The options of a Manager.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/os/process_memory.h"

namespace penstock::core {

// The rule that says which models need a ready version before the manager is ready.
struct ReadinessRule {
  enum class Kind {
    kAllModels,    // those of the start, and those that have served since they were configured
    kEveryModel,   // all that are to be loaded
    kAnyModel,     // at least one
    kNamedModels,  // those in `models`
  };
  Kind kind = Kind::kAllModels;
  std::set<std::string> models = {};  // each must be configured
};

// The rules for all models of a manager. A ModelConfig may override some of them for one model.
struct ManagerOptions {
  int load_threads = 2;    // loads at the same time, over all models
  int unload_threads = 2;  // unloads at the same time
  // Loads at the same time until every model of the first list has been loaded or has failed. 0:
  // use load_threads.
  int initial_load_threads = 0;
  int load_nice = 10;  // OS priority of the load and unload threads; requests go first
  // Retries of a failed load while its version stays aspired; negative: no limit. A version that
  // breaks while it serves counts as failed too. But if it had served for load_retry_interval_max,
  // it is loaded again at once, and the count of its failures starts at 0.
  int load_retries_max = 5;
  // Wait before the first retry. Each further wait is twice as long, up to the maximum.
  Duration load_retry_interval = std::chrono::seconds(1);
  Duration load_retry_interval_max = std::chrono::minutes(1);
  // A load fails if its estimate or its Load takes longer; 0: no limit. The manager asks it to end,
  // lets other loads run in its place, and retries the version once the load has ended.
  // ModelConfig::load_timeout overrides this for one model.
  Duration load_timeout = Duration::zero();
  // Limit for the memory of all models together, in bytes; 0: none. The sum counts what the loaders
  // report. A load over the limit waits while other loads or unloads may free enough memory, else
  // it fails with RESOURCE_EXHAUSTED. The manager retries it as soon as there is headroom.
  uint64_t ram_bytes_max = 0;
  // Reads the memory of the process, to measure loads. Called on any thread, and by several at the
  // same time. Null: the estimates of the loaders are used.
  std::function<std::optional<ProcessMemory>()> read_memory = nullptr;
  // Limit for the requests that wait for one model: for its first load, or for a load on demand.
  size_t demand_waiters_max = 1000;
  ReadinessRule readiness = {};
  // Limit for the versions of one model that have ended and are still listed.
  size_t ended_versions_max = 10;
  // Models that were removed stay listed, with their ended versions: at most so many, for so long.
  size_t ended_models_max = 100;
  Duration ended_models_time = std::chrono::minutes(10);
};

}  // namespace penstock::core
