// SPDX-License-Identifier: Apache-2.0
// A hash map keyed by strings that is searched with string views, without making a string.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace penstock {

// Hashes strings and views alike. Immutable. (absl's own hash takes only absl's string_view.)
struct StringViewHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

template <typename Value>
using StringMap = absl::flat_hash_map<std::string, Value, StringViewHash, std::equal_to<>>;

}  // namespace penstock
