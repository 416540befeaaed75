// SPDX-License-Identifier: Apache-2.0
// Parses how long a busy server wants clients to wait.
#pragma once

#include <string_view>

#include "base/clock.h"

namespace penstock {

// The longest wait that a server can ask for.
inline constexpr Duration kRetryAfterMax = std::chrono::seconds(20);

// Parses a Retry-After header in seconds (RFC 9110, section 10.2.3), up to kRetryAfterMax. Returns
// zero for a date, or if it is not valid: the client then chooses its own pause.
Duration ParseRetryAfter(std::string_view text);

}  // namespace penstock
