// SPDX-License-Identifier: Apache-2.0
#include "frontends/admin/admin_json.h"

#include <utility>

#include "base/log.h"
#include "net/error_response.h"

namespace penstock {
namespace {

net::HttpResponse Uncached(net::HttpResponse response) {
  // A proxy that answered probes from its cache would hide a server that is not ready.
  response.headers.emplace_back("cache-control", "no-store");
  return response;
}

}  // namespace

std::string JsonQuoted(std::string_view text) {
  std::string quoted = "\"";
  AppendJsonEscaped(quoted, text);
  return quoted += '"';
}

net::HttpResponse JsonResponse(int status, std::string_view text) {
  return JsonResponse(status, ByteChain(WholeSlice(CopyToBuffer(text))));
}

net::HttpResponse JsonResponse(int status, ByteChain text) {
  net::HttpResponse response;
  response.status = status;
  response.body = std::move(text);
  response.body.AppendCopy("\n");
  return Uncached(std::move(response));
}

net::HttpResponse UncachedError(int status, std::string_view message) {
  return Uncached(net::ErrorResponse(status, message));
}

}  // namespace penstock
