// SPDX-License-Identifier: Apache-2.0
// The check of the network layer itself when the server has a token file: whether the caller is
// known. Permissions for models are checked by those who know the model.
#pragma once

#include <span>
#include <string_view>

#include "access/caller.h"
#include "base/status.h"
#include "net/headers.h"
#include "net/router.h"

namespace penstock::net {

// Returns the value of the authorization field, empty if there is none. If there are several, the
// result is a text that no token file accepts, because a proxy may read another one than this
// server does.
std::string_view AuthorizationOf(std::span<const Header> headers);

// True if `caller` may use a route with this rule. For a path without a route, `rule` is kCallers:
// strangers do not learn which paths exist.
inline bool MayUseRoute(const access::Caller& caller, RouteAccess rule) {
  return rule == RouteAccess::kEveryone ||
         (rule == RouteAccess::kCallers && caller.refusal().empty());
}

// The error if they may not: UNAUTHENTICATED if the credentials are missing or wrong,
// PERMISSION_DENIED if nobody may use the route. REQUIRES: MayUseRoute is false.
Status RouteRefusal(const access::Caller& caller);

}  // namespace penstock::net
