// SPDX-License-Identifier: Apache-2.0
// A policy never sees requests, memory or time, only the states of the versions. It is asked again
// after each change and names one action at a time, so it need not plan: what is right now follows
// from the states alone.
#include "core/transition_policy.h"

#include <algorithm>

namespace penstock::core {
namespace {

using Versions = std::span<const PolicyVersion>;

bool IsMain(const PolicyVersion& version) { return version.is_aspired && !version.is_for_label; }

// True if there are main versions, none is ready, and the last load of each has failed. A retry
// that runs does not change this.
bool HaveAllFailed(Versions versions) {
  bool any_main = false;
  for (const PolicyVersion& version : versions) {
    if (!IsMain(version)) continue;
    any_main = true;
    if (!version.has_failed || version.phase == VersionPhase::kReady) return false;
  }
  return any_main;
}

// Unloads the lowest version that is ready and not wanted any more.
std::optional<VersionAction> UnloadLowest(Versions versions) {
  for (const PolicyVersion& version : versions) {
    if (version.phase != VersionPhase::kReady || version.is_aspired) continue;
    // A reserve goes on serving while the main versions are retried.
    if (version.is_reserve && HaveAllFailed(versions)) continue;
    return VersionAction{VersionAction::Kind::kUnload, version.version};
  }
  return std::nullopt;
}

// Loads the highest aspired version that has not begun.
std::optional<VersionAction> LoadHighest(Versions versions) {
  for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
    if (version->phase == VersionPhase::kNew && version->is_aspired) {
      return VersionAction{VersionAction::Kind::kLoad, version->version};
    }
  }
  return std::nullopt;
}

// Loads the highest reserve, if one is needed, no version is ready and no reserve is being loaded.
std::optional<VersionAction> LoadReserve(Versions versions) {
  if (!HaveAllFailed(versions)) return std::nullopt;
  const PolicyVersion* highest = nullptr;
  for (const PolicyVersion& version : versions) {
    if (version.phase == VersionPhase::kReady) return std::nullopt;
    if (!version.is_reserve) continue;
    if (version.phase == VersionPhase::kLoading) return std::nullopt;
    if (version.phase == VersionPhase::kNew) highest = &version;
  }
  if (highest == nullptr) return std::nullopt;
  return VersionAction{VersionAction::Kind::kLoad, highest->version};
}

// Loads before it unloads. Immutable.
class AvailabilityPreserving final : public TransitionPolicy {
 public:
  std::optional<VersionAction> Next(Versions versions) const override {
    if (MayUnload(versions)) {
      if (const auto unload = UnloadLowest(versions)) return unload;
    }
    if (const auto load = LoadHighest(versions)) return load;
    return LoadReserve(versions);
  }

 private:
  // True if a version remains for requests that name none, or if no version is aspired.
  static bool MayUnload(Versions versions) {
    const bool any_main = std::any_of(versions.begin(), versions.end(), IsMain);
    int ready_not_aspired = 0;
    bool any_aspired = false;
    for (const PolicyVersion& version : versions) {
      const bool is_ready = version.phase == VersionPhase::kReady;
      if (is_ready && (any_main ? IsMain(version) : version.is_aspired)) return true;
      any_aspired |= version.is_aspired;
      ready_not_aspired += is_ready && !version.is_aspired ? 1 : 0;
    }
    // No aspired version is ready yet. One of the old ones must stay; if there are more, the lowest
    // may go.
    return !any_aspired || ready_not_aspired > 1;
  }
};

// Unloads before it loads. Immutable.
class ResourcePreserving final : public TransitionPolicy {
 public:
  std::optional<VersionAction> Next(Versions versions) const override {
    if (const auto unload = UnloadLowest(versions)) return unload;
    const bool is_memory_free =
        std::none_of(versions.begin(), versions.end(), [](const PolicyVersion& version) {
          return version.phase == VersionPhase::kUnloading ||
                 (version.phase == VersionPhase::kLoading && !version.is_aspired);
        });
    if (!is_memory_free) return std::nullopt;
    if (const auto load = LoadHighest(versions)) return load;
    return LoadReserve(versions);
  }
};

}  // namespace

const TransitionPolicy& AvailabilityPreservingPolicy() {
  static const AvailabilityPreserving policy;
  return policy;
}

const TransitionPolicy& ResourcePreservingPolicy() {
  static const ResourcePreserving policy;
  return policy;
}

}  // namespace penstock::core
