// SPDX-License-Identifier: Apache-2.0
// Reads small files that the user names.
#pragma once

#include <cstddef>
#include <string>

#include "base/status.h"

namespace penstock {

// Reads the whole file. A pipe, as from a shell's <(command), must end within 2 seconds. The error
// gives the reason, without the path: it cannot be opened or read, a pipe does not end, or it has
// more than `bytes_max`. Blocks while a file system does not answer.
StatusOr<std::string> ReadWholeFile(const std::string& path, size_t bytes_max);

}  // namespace penstock
