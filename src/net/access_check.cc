// SPDX-License-Identifier: Apache-2.0
#include "net/access_check.h"

namespace penstock::net {

std::string_view AuthorizationOf(std::span<const Header> headers) {
  const Header* found = nullptr;
  for (const Header& header : headers) {
    constexpr std::string_view kName = "authorization";
    // Over HTTP/2 it is in lower case, so the first comparison is the usual one.
    if (header.name.size() != kName.size()) continue;
    if (header.name != kName && !EqualsIgnoringCase(header.name, kName)) continue;
    if (found != nullptr) return "several";
    found = &header;
  }
  return found == nullptr ? std::string_view() : found->value;
}

Status RouteRefusal(const access::Caller& caller) {
  if (!caller.refusal().empty()) return Error(StatusCode::kUnauthenticated, "{}", caller.refusal());
  return Error(StatusCode::kPermissionDenied, "nobody may use this while there is a token file");
}

}  // namespace penstock::net
