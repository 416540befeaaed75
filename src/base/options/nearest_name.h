// SPDX-License-Identifier: Apache-2.0
// For "did you mean" messages: finds the known name that is most similar to a mistyped one.
#pragma once

#include <span>
#include <string_view>

namespace penstock {

// Returns the one of `names` with the smallest edit distance to `name` (Levenshtein, 1966); the
// first one if several have it. An edit inserts, deletes or replaces a character. Empty if all
// distances are more than half the length of `name`, or if it has more than 200 characters, which
// is no typing mistake. The result is a view of an element of `names`.
std::string_view NearestName(std::string_view name, std::span<const std::string_view> names);

}  // namespace penstock
