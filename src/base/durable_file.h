// SPDX-License-Identifier: Apache-2.0
// Files that survive a power cut.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace penstock {

// Replaces the file at `path`, whole or not at all, and returns when the disk has it; writes
// `path`.new meanwhile. INTERNAL: what could not be done, and why. The new content may be there
// although the disk has not confirmed it. One thread at a time for each path.
Status ReplaceFileDurably(const std::string& path, std::string_view text);

}  // namespace penstock
