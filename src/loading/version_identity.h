// SPDX-License-Identifier: Apache-2.0
// A text that changes when a version, or one of its files, changes.
#pragma once

#include <string>

#include "core/servable.h"

namespace penstock {

// Names the version, the runtime that runs it, and each file below `folder` by its path, its size
// and its time of change, to the nanosecond. It does not read the files, which may be large. A
// folder that cannot be read, or is none, has no files. Blocks.
std::string VersionIdentity(const core::ServableId& id, const std::string& platform,
                            const std::string& folder);

}  // namespace penstock
