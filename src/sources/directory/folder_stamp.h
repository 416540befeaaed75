// SPDX-License-Identifier: Apache-2.0
// A fingerprint of a folder's files, to see whether they change.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "core/version_content.h"

namespace penstock {

// The fingerprint. It is equal for two scans of unchanged files. For a folder that cannot be read
// it contains the error.
struct FolderStamp {
  uint64_t hash = 0;  // of all names, sizes, permissions and times
  // By the clock of the file system. A program that copies files and sets their times cannot set it
  // back, because it counts the real changes of the files.
  std::chrono::system_clock::time_point newest_change;
  core::VersionContent content;
};

// Scans the folder and all below it. Follows symbolic links; does not read contents, so that a
// version of many gigabytes costs only a few system calls for each file. Calls `on_folder` with
// each folder before listing it, so that the caller can watch it first. Stops after 100,000
// entries.
FolderStamp StampFolder(const std::string& path,
                        const std::function<void(const std::string& folder)>& on_folder);

}  // namespace penstock
