// SPDX-License-Identifier: Apache-2.0
// Percent-escapes (%2F) in paths and keys. Thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace penstock {

// With each %XX replaced by its byte; a '%' without two hexadecimal digits stays as it is.
std::string PercentDecoded(std::string_view text);

// The same, but none if there is such a '%'.
std::optional<std::string> PercentDecodedStrictly(std::string_view text);

}  // namespace penstock
