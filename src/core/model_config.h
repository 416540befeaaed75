// SPDX-License-Identifier: Apache-2.0
// The configuration of one model, as the manager needs it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "core/servable.h"
#include "core/transition_policy.h"

namespace penstock::core {

// When the aspired versions of a model are loaded.
enum class LoadMode {
  kAlways,
  kOnDemand,  // from the first request, until it is idle for long or others need the memory
  kNever,     // not loaded until the mode changes
};

// The configuration of one model.
struct ModelConfig {
  std::string name;
  const TransitionPolicy* policy = &AvailabilityPreservingPolicy();  // outlives the manager
  // A label may name a version that is not ready. If the label pointed to a ready version before,
  // it stays there until the new one is ready. It keeps that version loaded meanwhile, except under
  // ResourcePreservingPolicy.
  std::map<std::string, VersionNumber> labels = {};
  // Labels stay at their versions in force, if these are ready, until the model is configured
  // without this. The versions that they are to move to are loaded meanwhile.
  bool holds_labels = false;
  LoadMode load_mode = LoadMode::kAlways;
  // For kOnDemand: the model is unloaded after this time without a request. 0: no limit.
  Duration unload_after_idle = Duration::zero();
  bool keep_loaded = false;                             // for kOnDemand: it is never evicted
  std::optional<Duration> load_timeout = std::nullopt;  // overrides ManagerOptions; 0: no limit
  // Overrides the loader's figure for the memory of a loaded version, in bytes. 0: use the
  // loader's.
  uint64_t memory_bytes = 0;
  // Grows from one configuration to the next. A source that knows the generation passes it with its
  // report. So a report for an earlier configuration does not count as the answer to this one. 0:
  // none.
  uint64_t generation = 0;
  // Oldest generation with the same base path and selection of versions. A report for it, or for a
  // later one, is still applied, but does not count as the answer to the current configuration.
  // Without this, a slow source would be ignored for as long as other models keep changing. 0:
  // `generation`.
  uint64_t same_since = 0;
  // True if the source should find the same versions as for `earlier`, a configuration of the same
  // model.
  bool AsksForSameAs(const ModelConfig& earlier) const {
    return same_since != 0 && same_since <= earlier.generation;
  }
  // True: versions that failed to load are begun anew, even if they have used all their retries. A
  // change from kNever to another mode does the same.
  bool retries_failed = false;
};

}  // namespace penstock::core
