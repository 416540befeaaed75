// SPDX-License-Identifier: Apache-2.0
// Names of untrusted files in messages.
#pragma once

#include <string>
#include <string_view>

namespace penstock::convert {

// Returns the start of a name that may be long.
inline std::string Shown(std::string_view name) {
  constexpr size_t kShownMax = 100;
  if (name.size() <= kShownMax) return std::string(name);
  return std::string(name.substr(0, kShownMax)) + "...";
}

}  // namespace penstock::convert
