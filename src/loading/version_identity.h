// SPDX-License-Identifier: Apache-2.0
// A text that changes when a version, or one of its files, changes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/servable.h"

namespace penstock {

// Names the version, its platform, and each file below `folder` by its path and its size. Of a file
// of up to 1 MiB the content counts. A larger one is not read: of it the times of the last change
// of its contents and of the file itself count, to the nanosecond; tools that copy files can set
// the first, and not the second. A folder that cannot be read, or is none, has no files. Blocks.
std::string VersionIdentity(const core::ServableId& id, const std::string& platform,
                            const std::string& folder);

// Names what the answers of all models depend on: this program, `options` (of all backends and
// loads), and the files that their values list, separated by commas. Take it at the start, before
// such files are loaded. Blocks.
std::string ServerIdentity(const std::vector<std::pair<std::string, std::string>>& options);

// Names the libraries of this process whose names contain `runtime`, a backend. Take it after a
// model is loaded. If such a file has been removed, another one may be there at the next start:
// then nobody else gets the same text. Blocks.
std::string RuntimeIdentity(std::string_view runtime);

}  // namespace penstock
