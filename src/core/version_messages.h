// SPDX-License-Identifier: Apache-2.0
// The messages of sources about versions that they do not report. Pure functions.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "base/status.h"
#include "core/servable.h"
#include "core/source.h"
#include "core/version_selection.h"

namespace penstock::core {

// In these functions, `place` is where the versions are, such as "base path /m".

// Lists the numbers, but not more than a message has room for, as "1, 2, 3".
std::string ListVersions(const std::set<VersionNumber>& versions);

// NOT_FOUND: explains why no version of `there` is selected, although they are complete.
Status NoneSelected(std::string_view place, const VersionSelection& selection,
                    const std::set<VersionNumber>& there);

// Says which versions the selection names that are not there; empty if all are.
std::string Absent(std::string_view place, const VersionSelection& selection,
                   const std::set<VersionNumber>& there);

// Explains why the versions are left out. Versions with the same reason share a clause.
std::string LeftOut(std::string_view place, const IncompleteVersions& versions);

}  // namespace penstock::core
