// SPDX-License-Identifier: Apache-2.0
// Selects the versions to load among those that a source finds, and parses version numbers.
#pragma once

#include <optional>
#include <set>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "core/servable.h"

namespace penstock::core {

// Which of the versions that exist are served, as in the model's configuration. Immutable.
struct LatestVersions {
  int count = 1;  // the highest ones, at least 1
  bool operator==(const LatestVersions&) const = default;
};
struct AllVersions {
  bool operator==(const AllVersions&) const = default;
};
// For a pin, or the policy `specific`.
struct SpecificVersions {
  std::vector<VersionNumber> versions;  // those that exist are selected; empty: none
  bool operator==(const SpecificVersions&) const = default;
};
using VersionSelection = std::variant<LatestVersions, AllVersions, SpecificVersions>;

// INVALID_ARGUMENT for a count below 1 and for a negative version; the message names `model`.
Status CheckSelection(std::string_view model, const VersionSelection& selection);

// Returns the versions in `there` that are selected.
std::set<VersionNumber> SelectVersions(const VersionSelection& selection,
                                       std::set<VersionNumber> there);

// Parses the name of a version's folder: digits only, leading zeros allowed, at most the largest
// int64. nullopt for any other name. Object stores and folders have the same rule.
std::optional<VersionNumber> ParseVersion(std::string_view name);

}  // namespace penstock::core
