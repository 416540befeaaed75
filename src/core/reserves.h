// SPDX-License-Identifier: Apache-2.0
// Chooses the versions that are loaded instead if the latest ones cannot be loaded.
#pragma once

#include <set>
#include <variant>
#include <vector>

#include "core/version_selection.h"

namespace penstock::core {

inline constexpr size_t kReservesMax = 3;

// Returns the highest versions in `there` that are lower than all of `main`, highest first. `main`
// is the result of `selection`. Empty if the selection is not LatestVersions.
inline std::vector<VersionNumber> ReservesOf(const VersionSelection& selection,
                                             const std::set<VersionNumber>& main,
                                             const std::set<VersionNumber>& there) {
  std::vector<VersionNumber> reserves;
  if (main.empty() || !std::holds_alternative<LatestVersions>(selection)) return reserves;
  for (auto version = there.rbegin(); version != there.rend(); ++version) {
    if (*version >= *main.begin()) continue;
    if (reserves.size() == kReservesMax) break;
    reserves.push_back(*version);
  }
  return reserves;
}

}  // namespace penstock::core
