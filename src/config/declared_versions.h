// SPDX-License-Identifier: Apache-2.0
// Versions that the configuration of a model declares, instead of a folder: ensembles and remote
// models. The errors begin with a verb, as in config_files.cc.
#pragma once

#include <cstdint>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "core/servable.h"

namespace penstock::config {
class ModelOptions;
}

namespace penstock {

// Reads each of `entries` with `read`, which returns a StatusOr<Version>. `kind` is what the
// configuration calls an entry. Errors: INVALID_ARGUMENT if one has a mistake, or two have the same
// version.
template <typename Version, typename Entries, typename Read>
StatusOr<std::vector<Version>> ReadDeclaredVersions(const Entries& entries, std::string_view kind,
                                                    Read read) {
  std::vector<Version> versions;
  std::set<core::VersionNumber> numbers;
  for (const auto& entry : entries) {
    StatusOr<Version> version = read(entry);
    const int64_t number = entry.has_version() ? entry.version() : 1;
    if (!version.ok())
      return InvalidArgument("has a mistake in {} version {}: {}", kind, number,
                             MessageOf(version.status()));
    if (!numbers.insert(version->version).second)
      return InvalidArgument("has two {}s of version {}; give each a version of its own", kind,
                             number);
    versions.push_back(*std::move(version));
  }
  return versions;
}

// INVALID_ARGUMENT if an option is set that has an effect only where a model runs: it would be a
// surprise later. `what` is what the model has, such as "an ensemble", and `where` says where to
// set the option.
Status CheckNoRunOptions(const config::ModelOptions& options, std::string_view what,
                         std::string_view where);

}  // namespace penstock
