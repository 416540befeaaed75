// SPDX-License-Identifier: Apache-2.0
// How long a server that is busy wants to be left alone.
#pragma once

#include <string_view>

#include "base/clock.h"

namespace penstock {

// No server may ask for more.
inline constexpr Duration kRetryAfterMax = std::chrono::seconds(20);

// Of a Retry-After header in seconds, up to kRetryAfterMax; zero if it is none, or a date.
Duration ParseRetryAfter(std::string_view text);

}  // namespace penstock
