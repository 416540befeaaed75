// SPDX-License-Identifier: Apache-2.0
// Which of the models in the configuration this server loads, if several servers share it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace penstock {

// Rules such as "emb-{i}: i % 3 == k", separated by ';'. A model whose name fits the text before
// the colon, with a number for {i}, is kept if the expression is not 0. Models that fit no rule are
// kept.
//
// An expression has whole numbers, i, k, + - * / %, == != < <= > >=, && || and parentheses, with
// the ranks of C. k is the number of this server among those that share the configuration.
//
//   ASSIGN_OR_RETURN(const ShardFilter filter, ShardFilter::Parse("emb-{i}: i % 3 == k", 1));
//   ASSIGN_OR_RETURN(const bool is_kept, filter.Keeps("emb-4"));
//
// Immutable.
class ShardFilter final {
 public:
  ShardFilter(ShardFilter&&) noexcept;
  ShardFilter& operator=(ShardFilter&&) noexcept;
  ~ShardFilter();

  // `text` may be empty: all models are kept. `k`: nullopt if it is unknown. Errors:
  // INVALID_ARGUMENT, with the place of the mistake; also if a rule needs k and it is unknown.
  static StatusOr<ShardFilter> Parse(std::string_view text, std::optional<int64_t> k);

  // INVALID_ARGUMENT if the expression has no value, as with a division by 0.
  StatusOr<bool> Keeps(std::string_view model) const;

 private:
  struct Rule;

  ShardFilter();

  std::vector<Rule> rules_;
};

// The number at the end of a host name, as those of a StatefulSet have it: 2 for "emb-2", also if a
// domain follows. nullopt: there is none.
std::optional<int64_t> OrdinalOf(std::string_view host);

}  // namespace penstock
