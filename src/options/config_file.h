// SPDX-License-Identifier: Apache-2.0
// Reads files that options name.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace penstock {

// Returns the contents of a small file. The error names `option`, the flag that has the path.
StatusOr<std::string> ReadConfigFile(std::string_view option, const std::string& path);

}  // namespace penstock
