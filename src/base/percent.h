// SPDX-License-Identifier: Apache-2.0
// Percent-escapes (%2F) in paths and keys. Thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace penstock {

// Replaces each %XX with its byte. A '%' without two hexadecimal digits stays as it is.
std::string PercentDecoded(std::string_view text);

// Does the same, but returns none if there is such a '%'.
std::optional<std::string> PercentDecodedStrictly(std::string_view text);

}  // namespace penstock
