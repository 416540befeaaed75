// SPDX-License-Identifier: Apache-2.0
// Joins the options of all parts of the server.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/options/option_row.h"

namespace penstock {

// All options of a program, for the parser, the help and the documentation. Immutable.
class OptionTable final {
 public:
  // The first part has all groups, in the order of the documentation. The rows of the other parts
  // come at the end of their groups. All names differ; a repeated name is a programming error
  // (CHECK).
  explicit OptionTable(std::span<const std::span<const OptionRow>> parts);

  // Sorted by group.
  std::span<const OptionRow> rows() const { return rows_; }
  // Returns null if there is no such option.
  const OptionRow* Find(std::string_view name) const;
  // Returns the option that was probably meant by `name`; empty if there is none.
  std::string_view Nearest(std::string_view name) const;

 private:
  std::vector<OptionRow> rows_;
};

}  // namespace penstock
