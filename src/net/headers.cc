// SPDX-License-Identifier: Apache-2.0
#include "net/headers.h"

#include <algorithm>
#include <charconv>

namespace penstock::net {
namespace {

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Removes the text before the next `separator` from `text`, and returns it trimmed.
std::string_view NextPart(std::string_view& text, char separator) {
  const size_t at = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return Trimmed(part);
}

// The quality in the parameters of one element, such as "q=0.5", in thousandths. 1000 if there is
// none.
int Quality(std::string_view parameters) {
  while (!parameters.empty()) {
    const std::string_view parameter = NextPart(parameters, ';');
    if (parameter.size() < 2 || (parameter[0] | 0x20) != 'q' || parameter[1] != '=') continue;
    double quality = 0;
    std::from_chars(parameter.data() + 2, parameter.data() + parameter.size(), quality,
                    std::chars_format::fixed);
    if (!(quality > 0)) return 0;  // also false for "nan", which from_chars accepts
    return static_cast<int>(std::min(quality, 1.0) * 1000);
  }
  return 1000;
}

}  // namespace

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (a == b) return true;  // most clients send lower case
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [&](char x, char y) {
           return x == y || lower(x) == lower(y);
         });
}

std::string_view FindHeader(std::span<const Header> headers, std::string_view name) {
  for (const Header& header : headers)
    if (header.name.size() == name.size() && EqualsIgnoringCase(header.name, name))
      return header.value;
  return {};
}

std::string_view WithoutParameters(std::string_view value) { return NextPart(value, ';'); }

WeightedElement TakeWeighted(std::string_view& list) {
  std::string_view element = NextPart(list, ',');
  const std::string_view name = NextPart(element, ';');
  return {name, Quality(element)};
}

}  // namespace penstock::net
