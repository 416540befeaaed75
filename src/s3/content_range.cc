// SPDX-License-Identifier: Apache-2.0
#include "s3/content_range.h"

#include <charconv>
#include <system_error>

namespace penstock {
namespace {

// Removes a number and the text `behind` from the front. Returns false if they are not there.
bool TakeNumber(std::string_view& text, std::string_view behind, uint64_t& number) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(stop - text.data()));
  if (!text.starts_with(behind)) return false;
  text.remove_prefix(behind.size());
  return true;
}

}  // namespace

std::optional<ContentRange> ParseContentRange(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  ContentRange range;
  if (!TakeNumber(text, "-", range.first) || !TakeNumber(text, "/", range.last) ||
      range.last < range.first) {
    return std::nullopt;
  }
  if (text == "*") return range;
  uint64_t total = 0;
  if (!TakeNumber(text, "", total) || !text.empty() || total <= range.last) return std::nullopt;
  range.total = total;
  return range;
}

}  // namespace penstock
