// SPDX-License-Identifier: Apache-2.0
#include "frontends/graphpipe/graphpipe_response.h"

#include <fmt/format.h>

#include <chrono>

#include "base/calls/call_record.h"
#include "base/utf8.h"
#include "protocols/graphpipe/response_writer.h"
#include "protocols/tfs/client_status.h"
#include "schedule/retry_hint.h"

namespace penstock::graphpipe {

void RespondMessage(net::HttpCall& call, ByteChain message, net::OwnedHeaders headers) {
  net::HttpResponse response;
  response.content_type = "application/octet-stream";
  response.headers = std::move(headers);
  response.body = std::move(message);
  // The public Python client accepts gzip unasked. Compressing floats takes long and gains little,
  // so a client must compress its requests to get compressed tensors.
  response.compress = !net::FindHeader(call.head().headers, "content-encoding").empty();
  call.Respond(std::move(response));
}

namespace {

net::HttpResponse TextResponse(int status, std::string_view text) {
  net::HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body.AppendCopy(ToUtf8(text) + "\n");
  if (status >= 400) response.error = text.substr(0, kRecordTextBytesMax);
  return response;
}

// Says when a client should try again, if `status` means that it should.
void AddRetryAfter(const Status& status, net::HttpResponse& response) {
  if (status.code() != StatusCode::kUnavailable) return;
  // Without a hint the state either ends soon or lasts for long, so a retry each second is right.
  const auto after = schedule::RetryHintOf(status).value_or(std::chrono::seconds(1));
  response.headers.emplace_back("retry-after", std::to_string(after.count()));
}

}  // namespace

void RespondText(net::HttpCall& call, int status, std::string_view text) {
  call.Respond(TextResponse(status, text));
}

void RespondError(net::HttpCall& call, const Status& status) {
  net::HttpResponse response =
      TextResponse(tfs::HttpStatusOf(status.code()), MessageOf(tfs::Truncated(status)));
  AddRetryAfter(status, response);
  call.Respond(std::move(response));
}

void RespondInBandError(net::HttpCall& call, const Status& status) {
  const Status shown = tfs::Truncated(status);
  net::HttpResponse response;
  response.content_type = "application/octet-stream";
  response.body = WriteErrorResponse(tfs::HttpStatusOf(shown.code()), ToUtf8(MessageOf(shown)));
  response.error = MessageOf(shown).substr(0, kRecordTextBytesMax);
  AddRetryAfter(status, response);
  call.Respond(std::move(response));
}

void RespondMethodNotAllowed(net::HttpCall& call) {
  const net::RequestHead& head = call.head();
  net::HttpResponse response = TextResponse(
      405, fmt::format("{:.256} is not allowed for {:.256}: POST a GraphPipe message, or GET a "
                       "description of the model",
                       head.method, head.path));
  response.headers.emplace_back("allow", "GET, HEAD, POST");
  call.Respond(std::move(response));
}

}  // namespace penstock::graphpipe
