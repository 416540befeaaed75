// SPDX-License-Identifier: Apache-2.0
// Decides which version to load or unload next. Pure functions of the states of one model's
// versions.
#pragma once

#include <optional>
#include <span>

#include "core/servable.h"

namespace penstock::core {

// The state of a version, as policies see it.
enum class VersionPhase {
  kNew,        // nothing was done yet, or a retry is due
  kLoading,    // its load has begun
  kReady,      // serves
  kUnloading,  // requests do not find it; destroyed when its last handle is gone
  kDisabled,   // unloaded
  kError,      // its load failed, or it broke; kNew again when a retry is due
};

// One version of the model, as the policy sees it. Immutable.
struct PolicyVersion {
  VersionNumber version;
  VersionPhase phase = VersionPhase::kNew;
  bool is_aspired = false;
  bool is_for_label = false;  // aspired, but not for requests that name no version
  // Not aspired, but loaded if no version is ready and no aspired one could be loaded.
  bool is_reserve = false;
  bool has_failed = false;  // its last load failed; while a load runs: the load before it
};

// What the manager does next with one version. It asks again when that has changed a state.
struct VersionAction {
  enum class Kind { kLoad, kUnload };
  Kind kind = Kind::kLoad;
  VersionNumber version;
  bool operator==(const VersionAction&) const = default;
};

// Decides the next action for one model. Pure and stateless: the same input gives the same answer,
// so tests need only tables and no threads. The manager asks again after each change of a state, so
// a policy answers with one step and never plans ahead. The two policies below are TensorFlow
// Serving's. Thread-safe.
class TransitionPolicy {
 public:
  virtual ~TransitionPolicy() = default;
  // `versions` holds every version of one model, ascending. The policy loads only kNew versions
  // that are aspired or a reserve, and unloads only kReady versions that are not aspired. nullopt:
  // nothing to do until a state changes.
  virtual std::optional<VersionAction> Next(std::span<const PolicyVersion> versions) const = 0;
};

// Loads the new version first, and unloads the old one when the new one is ready. So some version
// is always ready, but there must be memory for two.
const TransitionPolicy& AvailabilityPreservingPolicy();

// Unloads versions that are not aspired first, and loads when they are gone. So there is memory for
// one version only, but no version is ready for a while.
const TransitionPolicy& ResourcePreservingPolicy();

}  // namespace penstock::core
