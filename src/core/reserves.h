// SPDX-License-Identifier: Apache-2.0
// Which versions may take the place of the latest ones if those cannot be loaded.
#pragma once

#include <set>
#include <variant>
#include <vector>

#include "core/version_selection.h"

namespace penstock::core {

inline constexpr size_t kReservesMax = 3;

// The highest of `there` that are lower than all of `main`, which `selection` has selected; highest
// first. None if the selection names its versions, or takes all.
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
