// SPDX-License-Identifier: Apache-2.0
// The state of a folder's files, to see whether they change.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "core/version_content.h"

namespace penstock {

// Two looks at unchanged files give the same one. Of a folder that cannot be read it tells that.
struct FolderStamp {
  uint64_t hash = 0;  // of all names, sizes, permissions and times
  // By the clock of the file system. Cannot be set back by who copies files with their times.
  std::chrono::system_clock::time_point newest_change;
  core::VersionContent content;
};

// Looks at the folder and all below it, following symbolic links; reads no contents. `on_folder`
// is called with each folder before it is listed. Looks at 100,000 entries at most.
FolderStamp StampFolder(const std::string& path,
                        const std::function<void(const std::string& folder)>& on_folder);

}  // namespace penstock
