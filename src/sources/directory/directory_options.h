// SPDX-License-Identifier: Apache-2.0
// The options of the source for folders, and their flags.
#pragma once

#include <cstddef>
#include <span>

#include "base/clock.h"
#include "base/options/option_row.h"
#include "sources/directory/settling.h"

namespace penstock {

// The options of a DirectorySource, for all models together. Each default is that of the flag.
struct DirectorySourceOptions {
  // Time between two polls of the base paths. 0: one scan after each SetModels; < 0: no scan at
  // all. Where the kernel reports changes, they are seen at once, and polls are ten times rarer.
  Duration poll_period = std::chrono::seconds(1);
  // Decides when a version that is being copied is complete.
  SettlingOptions settling;
  // When a base path has no version left, keep the last versions, as if it could not be read.
  bool keeps_last_versions = false;
  size_t watches_max = 100'000;  // 0: the kernel reports no changes, only polls find them
};

// The flags of this source, for app/builtins.cc. Static storage.
std::span<const OptionRow> DirectoryOptionRows();

}  // namespace penstock
