// SPDX-License-Identifier: Apache-2.0
// Writes files that survive a power cut.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace penstock {

// Replaces the file at `path` atomically. Returns when the data is on the disk. Uses `path`.new as
// a temporary file. INTERNAL: which step failed, and why. After an error the new content may be in
// place although the disk has not confirmed it. One thread at a time for each path.
Status ReplaceFileDurably(const std::string& path, std::string_view text);

}  // namespace penstock
