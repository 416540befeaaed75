// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/rest_response.h"

#include "frontends/tfs_rest/json_writer.h"
#include "protocols/tfs/client_status.h"

namespace penstock::tfs_rest {
namespace {

ByteChain ErrorBody(std::string_view message) {
  JsonWriter writer(message.size() + 32);
  writer.Raw("{\"error\":");
  writer.LossyString(message);
  writer.Raw("}\n");
  return writer.Finish();
}

}  // namespace

void RespondJson(net::HttpCall& call, ByteChain body) {
  net::HttpResponse response;
  response.body = std::move(body);
  call.Respond(std::move(response));
}

void RespondError(net::HttpCall& call, const Status& status) {
  net::HttpResponse response;
  response.status = tfs::HttpStatusOf(status.code());
  // It is over before long, or will not be soon: a second is how often to ask.
  if (status.code() == StatusCode::kUnavailable) response.headers.emplace_back("retry-after", "1");
  response.body = ErrorBody(MessageOf(tfs::Truncated(status)));
  call.Respond(std::move(response));
}

void RespondMethodNotAllowed(net::HttpCall& call, std::string_view allowed) {
  net::HttpResponse response;
  response.status = 405;
  response.headers.emplace_back("allow", allowed);
  response.body = ErrorBody(fmt::format("{:.256} is not allowed for {:.256}; allowed: {}",
                                        call.head().method, call.head().path, allowed));
  call.Respond(std::move(response));
}

}  // namespace penstock::tfs_rest
