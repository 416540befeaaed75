// SPDX-License-Identifier: Apache-2.0
#include "base/options/option_table.h"

#include <algorithm>

#include "base/check.h"
#include "base/options/nearest_name.h"

namespace penstock {

OptionTable::OptionTable(std::span<const std::span<const OptionRow>> parts) {
  size_t count = 0;
  for (const std::span<const OptionRow> part : parts) count += part.size();
  std::vector<std::string_view> groups;
  for (const OptionRow& row : parts.front()) {
    if (groups.empty() || groups.back() != row.group) groups.push_back(row.group);
  }
  // The first part names all groups, in the order in which --help shows them. The rows of a leaf go
  // to the end of their group, so a reader finds them beside the server's.
  for (const std::string_view group : groups) {
    for (const std::span<const OptionRow> part : parts) {
      for (const OptionRow& row : part) {
        if (row.group != group) continue;
        PENSTOCK_CHECK(Find(row.name) == nullptr, "two options have the same name");
        rows_.push_back(row);
      }
    }
  }
  PENSTOCK_CHECK(rows_.size() == count, "an option has a group that the first part lacks");
}

const OptionRow* OptionTable::Find(std::string_view name) const {
  const auto found = std::find_if(rows_.begin(), rows_.end(),
                                  [&](const OptionRow& row) { return row.name == name; });
  return found == rows_.end() ? nullptr : &*found;
}

std::string_view OptionTable::Nearest(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const OptionRow& row : rows_) names.push_back(row.name);
  return NearestName(name, names);
}

}  // namespace penstock
