// SPDX-License-Identifier: Apache-2.0
// Bytes as hexadecimal digits, in lower case.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace penstock {

void AppendHex(std::string& to, std::span<const uint8_t> bytes);

// Reads the first 2 * bytes.size() characters of `text`, which has at least so many. False: not all
// of them are digits in lower case; `bytes` may have changed.
[[nodiscard]] bool ReadHex(std::string_view text, std::span<uint8_t> bytes);

}  // namespace penstock
