// SPDX-License-Identifier: Apache-2.0
// A hash map with string keys. Searching it with a string view makes no string.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace penstock {

// Hashes strings and views to the same value. Immutable. (absl's own hash takes only absl's
// string_view.)
struct StringViewHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

// A map with string keys. Not ordered: sort the keys before showing them to anyone. An insertion
// moves entries, so pointers to values stay valid only until then.
template <typename Value>
using StringMap = absl::flat_hash_map<std::string, Value, StringViewHash, std::equal_to<>>;

}  // namespace penstock
