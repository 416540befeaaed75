// SPDX-License-Identifier: Apache-2.0
// "Did you mean": the known name that is most like a mistyped one.
#pragma once

#include <span>
#include <string_view>

namespace penstock {

// The first of the names that the fewest insertions, deletions and replacements of characters turn
// `name` into; empty if all are further away than half of its length.
std::string_view NearestName(std::string_view name, std::span<const std::string_view> names);

}  // namespace penstock
