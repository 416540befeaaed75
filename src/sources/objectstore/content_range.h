// SPDX-License-Identifier: Apache-2.0
// Which part of an object an answer with status 206 holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock {

struct ContentRange {
  uint64_t first = 0;             // byte
  uint64_t last = 0;              // byte, not before the first
  std::optional<uint64_t> total;  // bytes of the whole object, more than `last`; unknown if "*"
};

// Of a header's value, "bytes 2-4/5". nullopt if it is none.
std::optional<ContentRange> ParseContentRange(std::string_view text);

}  // namespace penstock
