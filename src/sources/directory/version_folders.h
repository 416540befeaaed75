// SPDX-License-Identifier: Apache-2.0
// Which folders below a base path are versions, and how to get to it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "core/version_selection.h"

namespace penstock {

// All versions below `base_path` and their folders. Of several folders with the same number the one
// whose name sorts first counts. Errors: NOT_FOUND (no such folder), PERMISSION_DENIED, INTERNAL
// (anything else), with the path.
StatusOr<std::map<core::VersionNumber, std::string>> ListVersions(const std::string& base_path);

// An entry of a folder that decides where a path leads.
struct PathStep {
  std::string folder;
  std::string name;
  auto operator<=>(const PathStep&) const = default;
};

struct ResolvedPath {
  std::string folder;  // where the path leads, without symbolic links; empty: nowhere, or unknown
  // The symbolic links on the way; if it leads nowhere, also the first step that is no folder. With
  // none of these changed, and no folder on the way renamed, the path leads to the same place.
  std::vector<PathStep> steps;
};

// Follows a path to a folder step by step.
ResolvedPath ResolveFolder(const std::string& path);

// True if `path` lies on a file system that changes without this machine's kernel knowing.
bool IsOnNetwork(const std::string& path);

}  // namespace penstock
