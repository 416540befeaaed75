// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/rest_response.h"

#include <algorithm>
#include <charconv>

#include "frontends/tfs_rest/json_writer.h"
#include "protocols/tfs/client_status.h"

namespace penstock::tfs_rest {
namespace {

constexpr std::string_view kRequestIdHeader = "x-request-id";
constexpr size_t kRequestIdBytesMax = 128;

// The client's own id if it may stand in a header and a log line, else ours.
std::string RequestId(const net::HttpCall& call) {
  const std::string_view given = net::FindHeader(call.head().headers, kRequestIdHeader);
  const bool is_usable =
      !given.empty() && given.size() <= kRequestIdBytesMax &&
      std::all_of(given.begin(), given.end(), [](char c) { return c > ' ' && c < 0x7F; });
  if (is_usable) return std::string(given);
  char text[16];
  return {text, std::to_chars(text, text + sizeof(text), call.request_id(), 16).ptr};
}

net::HttpResponse NewResponse(const net::HttpCall& call) {
  net::HttpResponse response;
  response.headers.emplace_back(kRequestIdHeader, RequestId(call));
  return response;
}

ByteChain ErrorBody(std::string_view message) {
  JsonWriter writer(message.size() + 32);
  writer.Raw("{\"error\":");
  writer.LossyString(message);
  writer.Raw("}\n");
  return writer.Finish();
}

}  // namespace

void RespondJson(net::HttpCall& call, ByteChain body) {
  net::HttpResponse response = NewResponse(call);
  response.body = std::move(body);
  call.Respond(std::move(response));
}

void RespondError(net::HttpCall& call, const Status& status) {
  net::HttpResponse response = NewResponse(call);
  response.status = tfs::HttpStatusOf(status.code());
  // It is over before long, or will not be soon: a second is how often to ask.
  if (status.code() == StatusCode::kUnavailable) response.headers.emplace_back("retry-after", "1");
  response.body = ErrorBody(MessageOf(tfs::Truncated(status)));
  call.Respond(std::move(response));
}

void RespondMethodNotAllowed(net::HttpCall& call, std::string_view allowed) {
  net::HttpResponse response = NewResponse(call);
  response.status = 405;
  response.headers.emplace_back("allow", allowed);
  response.body = ErrorBody(fmt::format("{} is not allowed for {}; allowed: {}", call.head().method,
                                        call.head().path, allowed));
  call.Respond(std::move(response));
}

}  // namespace penstock::tfs_rest
