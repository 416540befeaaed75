// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/rest_response.h"

#include <fmt/format.h>

#include <chrono>
#include <string>

#include "base/log.h"
#include "calls/model_trailers.h"
#include "frontends/tfs_rest/rest_target.h"
#include "net/error_response.h"
#include "protocols/tfs/client_status.h"
#include "schedule/retry_hint.h"

namespace penstock::tfs_rest {
namespace {

// Advice for a client that sends POST to the page of a model; empty for other pages.
std::string VerbHint(const net::RequestHead& head) {
  const StatusOr<RestTarget> target = ParseRestPath(head.method, head.path);
  // A client that sends POST to the page of a model has most likely left out ":predict".
  if (!target.ok() || target->action != RestAction::kStatus || head.method != "POST") return {};
  return fmt::format("; the verb is missing: to run the model, POST {:.256}:predict", head.path);
}

}  // namespace

void RespondJson(net::HttpCall& call, ByteChain body, int status) {
  net::HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  call.Respond(std::move(response));
}

net::HttpResponse AnswerOf(const ModelHandle& model, ByteChain&& body) {
  net::HttpResponse response;
  response.headers = FieldsOf(model);
  response.body = std::move(body);
  return response;
}

void RespondError(net::HttpCall& call, const Status& status) {
  net::HttpResponse response =
      net::ErrorResponse(tfs::HttpStatusOf(status.code()), MessageOf(tfs::Truncated(status)));
  if (status.code() == StatusCode::kUnavailable) {
    // Without a hint the state either ends soon or lasts for long, so a retry each second is right.
    const auto after = schedule::RetryHintOf(status).value_or(std::chrono::seconds(1));
    response.headers.emplace_back("retry-after", std::to_string(after.count()));
  }
  call.Respond(std::move(response));
}

std::string ErrorEvent(const Status& status) {
  std::string event = "event: error\ndata: {\"error\": \"";
  AppendJsonEscaped(event, MessageOf(tfs::Truncated(status)));
  return event += fmt::format("\", \"code\": \"{}\"}}\n\n", StatusCodeName(status.code()));
}

void RespondMethodNotAllowed(net::HttpCall& call, std::string_view allowed) {
  const net::RequestHead& head = call.head();
  net::HttpResponse response =
      net::ErrorResponse(405, fmt::format("Malformed request: {:.256} {:.256}; allowed: {}{}",
                                          head.method, head.path, allowed, VerbHint(head)));
  response.headers.emplace_back("allow", std::string(allowed));
  call.Respond(std::move(response));
}

}  // namespace penstock::tfs_rest
