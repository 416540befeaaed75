// SPDX-License-Identifier: Apache-2.0
// Small files that the user names.
#pragma once

#include <cstddef>
#include <string>

#include "base/status.h"

namespace penstock {

// All of the file. A pipe has 2 seconds to give its text, as a shell's <(command) does. Errors say
// why, without the path: it cannot be opened or read, a pipe does not end, or it has more than
// `bytes_max`. Blocks while a file system does not answer.
StatusOr<std::string> ReadWholeFile(const std::string& path, size_t bytes_max);

}  // namespace penstock
