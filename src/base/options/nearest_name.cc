// SPDX-License-Identifier: Apache-2.0
#include "base/options/nearest_name.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace penstock {
namespace {

// The Levenshtein distance. It keeps only one row of the matrix.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view NearestName(std::string_view name, std::span<const std::string_view> names) {
  constexpr size_t kNameMax = 200;  // a longer name is no typing mistake
  if (name.size() > kNameMax) return {};
  std::string_view nearest;
  // If more than half of a name is wrong, a suggestion would only be a guess.
  size_t best = name.size() / 2 + 1;
  for (const std::string_view candidate : names) {
    const size_t distance = Distance(name, candidate);
    if (distance >= best) continue;
    best = distance;
    nearest = candidate;
  }
  return nearest;
}

}  // namespace penstock
