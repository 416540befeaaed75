// SPDX-License-Identifier: Apache-2.0
// Files that options name.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace penstock {

// The contents of a small file; the error names `option`, which asked for it.
StatusOr<std::string> ReadConfigFile(std::string_view option, const std::string& path);

}  // namespace penstock
