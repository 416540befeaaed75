// SPDX-License-Identifier: Apache-2.0
#include "net/access_check.h"

namespace penstock::net {

std::string_view AuthorizationOf(std::span<const Header> headers) {
  const Header* found = nullptr;
  for (const Header& header : headers) {
    if (!EqualsIgnoringCase(header.name, "authorization")) continue;
    if (found != nullptr) return "several";
    found = &header;
  }
  return found == nullptr ? std::string_view() : found->value;
}

Status CheckRouteAccess(const access::Caller& caller, RouteAccess rule) {
  if (rule == RouteAccess::kEveryone) return OkStatus();
  if (!caller.refusal().empty()) return Error(StatusCode::kUnauthenticated, "{}", caller.refusal());
  if (rule == RouteAccess::kCallers) return OkStatus();
  return Error(StatusCode::kPermissionDenied, "nobody may use this while there is a token file");
}

}  // namespace penstock::net
