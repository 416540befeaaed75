// SPDX-License-Identifier: Apache-2.0
#include "core/version_policy.h"

#include <algorithm>

namespace penstock::core {
namespace {

using Versions = std::span<const PolicyVersion>;

// The lowest version that is ready and no longer wanted.
std::optional<VersionAction> UnloadLowest(Versions versions) {
  for (const PolicyVersion& version : versions) {
    if (version.phase == VersionPhase::kReady && !version.is_aspired) {
      return VersionAction{VersionAction::Kind::kUnload, version.version};
    }
  }
  return std::nullopt;
}

// The highest version that is wanted and not begun.
std::optional<VersionAction> LoadHighest(Versions versions) {
  for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
    if (version->phase == VersionPhase::kNew && version->is_aspired) {
      return VersionAction{VersionAction::Kind::kLoad, version->version};
    }
  }
  return std::nullopt;
}

// Immutable.
class AvailabilityPreserving final : public VersionPolicy {
 public:
  std::optional<VersionAction> Next(Versions versions) const override {
    if (MayUnload(versions)) {
      if (const auto unload = UnloadLowest(versions)) return unload;
    }
    return LoadHighest(versions);
  }

 private:
  // True if something is left to serve, or nothing shall serve.
  static bool MayUnload(Versions versions) {
    int ready_not_aspired = 0;
    bool any_aspired = false;
    for (const PolicyVersion& version : versions) {
      const bool is_ready = version.phase == VersionPhase::kReady;
      if (version.is_aspired && is_ready) return true;
      any_aspired |= version.is_aspired;
      ready_not_aspired += is_ready ? 1 : 0;
    }
    return !any_aspired || ready_not_aspired > 1;
  }
};

// Immutable.
class ResourcePreserving final : public VersionPolicy {
 public:
  std::optional<VersionAction> Next(Versions versions) const override {
    if (const auto unload = UnloadLowest(versions)) return unload;
    const bool is_memory_free =
        std::none_of(versions.begin(), versions.end(), [](const PolicyVersion& version) {
          return version.phase == VersionPhase::kUnloading ||
                 (version.phase == VersionPhase::kLoading && !version.is_aspired);
        });
    return is_memory_free ? LoadHighest(versions) : std::nullopt;
  }
};

}  // namespace

const VersionPolicy& AvailabilityPreservingPolicy() {
  static const AvailabilityPreserving policy;
  return policy;
}

const VersionPolicy& ResourcePreservingPolicy() {
  static const ResourcePreserving policy;
  return policy;
}

}  // namespace penstock::core
