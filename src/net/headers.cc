// SPDX-License-Identifier: Apache-2.0
#include "net/headers.h"

#include <algorithm>

namespace penstock::net {

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [&](char x, char y) {
           return x == y || lower(x) == lower(y);
         });
}

std::string_view FindHeader(std::span<const Header> headers, std::string_view name) {
  for (const Header& header : headers)
    if (EqualsIgnoringCase(header.name, name)) return header.value;
  return {};
}

}  // namespace penstock::net
