// SPDX-License-Identifier: Apache-2.0
// Parses which part of an object a response with status 206 holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock {

// The range of bytes in one response. `last` is inside the range.
struct ContentRange {
  uint64_t first = 0;             // byte offset
  uint64_t last = 0;              // byte offset, not below `first`
  std::optional<uint64_t> total;  // bytes of the whole object, more than `last`; unknown if "*"
};

// Parses a header's value such as "bytes 2-4/5" (RFC 9110, section 14.4). Returns nullopt if it is
// not valid, also for "bytes */5", which comes with an error.
std::optional<ContentRange> ParseContentRange(std::string_view text);

}  // namespace penstock
