// SPDX-License-Identifier: Apache-2.0
// The file with the token of this server.
#pragma once

#include <string>

#include "base/status.h"

namespace penstock::remote {

// The token in the file; empty if `file` is. INVALID_ARGUMENT if it cannot be read, or holds
// something else; the message says nothing about what is in it.
StatusOr<std::string> ReadToken(const std::string& file);

}  // namespace penstock::remote
