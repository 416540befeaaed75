// SPDX-License-Identifier: Apache-2.0
#include "frontends/admin/admin_json.h"

#include "base/log.h"

namespace penstock {
std::string JsonQuoted(std::string_view text) {
  std::string quoted = "\"";
  AppendJsonEscaped(quoted, text);
  return quoted += '"';
}

net::HttpResponse JsonResponse(int status, std::string_view text) {
  net::HttpResponse response;
  response.status = status;
  response.headers.emplace_back("cache-control", "no-store");
  response.body.AppendCopy(text);
  response.body.AppendCopy("\n");
  return response;
}

}  // namespace penstock
