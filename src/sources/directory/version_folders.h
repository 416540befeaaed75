// SPDX-License-Identifier: Apache-2.0
// Finds the version folders below a base path, and follows paths with symbolic links.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "core/version_selection.h"

namespace penstock {

// Returns all versions below `base_path` and the paths of their folders. If several folder names
// mean the same number, the one that sorts first counts. Errors: NOT_FOUND (no such folder),
// PERMISSION_DENIED, INTERNAL (anything else), with the path.
StatusOr<std::map<core::VersionNumber, std::string>> ListVersionFolders(
    const std::string& base_path);

// An entry of a folder that determines where a path leads.
struct PathStep {
  std::string folder;
  std::string name;
  auto operator<=>(const PathStep&) const = default;
};

// Where a path leads, and what to watch to learn that it leads elsewhere.
struct ResolvedPath {
  // The resolved path, without symbolic links. Empty: it does not exist, or is unknown.
  std::string folder;
  // The symbolic links on the way. If the path does not resolve, also the first step that is not a
  // folder. As long as none of these changes, and no folder on the way is renamed, the path
  // resolves to the same folder.
  std::vector<PathStep> steps;
};

// Follows a path to a folder step by step.
ResolvedPath ResolveFolder(const std::string& path);

// True if `path` is on a network file system: other machines can change it, and this kernel does
// not report that.
bool IsOnNetwork(const std::string& path);

}  // namespace penstock
