// SPDX-License-Identifier: Apache-2.0
// Which version to load or unload next: pure functions over the states of one model's versions.
#pragma once

#include <optional>
#include <span>

#include "core/servable.h"

namespace penstock::core {

// Where a version stands, as far as a policy cares.
enum class VersionPhase {
  kNew,        // nothing was done yet, or it is due for another try
  kLoading,    // its load was begun
  kReady,      // serves
  kUnloading,  // no longer found by requests; goes when its last handle is gone
  kDisabled,   // unloaded
  kError,      // its load failed, or it broke; kNew again when it is due for another try
};

struct PolicyVersion {
  VersionNumber version;
  VersionPhase phase = VersionPhase::kNew;
  bool is_aspired = false;
  bool is_for_label = false;  // aspired, but not for requests that name no version
  // Not aspired, but loaded if nothing is ready and nothing that is aspired could be loaded.
  bool is_reserve = false;
  bool has_failed = false;  // its last load, or the one before that which is under way
};

struct VersionAction {
  enum class Kind { kLoad, kUnload };
  Kind kind = Kind::kLoad;
  VersionNumber version;
  bool operator==(const VersionAction&) const = default;
};

// Decides the next step for one model. Pure and stateless: same input, same answer, so a rollout is
// tested with tables and without threads. Thread-safe.
class VersionPolicy {
 public:
  virtual ~VersionPolicy() = default;
  // `versions` holds every version of one model, ascending. Loads only kNew versions that are
  // aspired or a reserve, unloads only kReady ones that are not aspired. nullopt: nothing to do
  // until a state changes.
  virtual std::optional<VersionAction> Next(std::span<const PolicyVersion> versions) const = 0;
};

// Loads the new version first and unloads the old one when the new one is ready: some version is
// always ready, at the price of memory for two.
const VersionPolicy& AvailabilityPreservingPolicy();

// Unloads what is not aspired first and loads when it is gone: memory for one version, at the price
// of a gap.
const VersionPolicy& ResourcePreservingPolicy();

}  // namespace penstock::core
