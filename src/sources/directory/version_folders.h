// SPDX-License-Identifier: Apache-2.0
// Which folders below a base path are versions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "core/servable.h"

namespace penstock {

// The version that a folder's name stands for: digits only, leading zeros allowed, at most the
// largest int64. None for any other name.
std::optional<core::VersionNumber> ParseVersion(std::string_view folder_name);

// All versions below `base_path` and their folders. Of several folders with the same number the one
// whose name sorts first counts. Errors: NOT_FOUND (no such folder), PERMISSION_DENIED, UNAVAILABLE
// (anything else), with the path.
StatusOr<std::map<core::VersionNumber, std::string>> ListVersions(const std::string& base_path);

}  // namespace penstock
