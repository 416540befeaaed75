// SPDX-License-Identifier: Apache-2.0
#include "net/error_response.h"

#include "base/calls/call_record.h"
#include "base/log.h"

namespace penstock::net {

std::string ErrorJson(std::string_view message) {
  std::string body = "{\n    \"error\": \"";
  AppendJsonEscaped(body, message);
  return body += "\"\n}";
}

HttpResponse ErrorResponse(int status, std::string_view message) {
  HttpResponse response;
  response.status = status;
  response.body.AppendCopy(ErrorJson(message));
  response.error = message.substr(0, kRecordTextBytesMax);
  return response;
}

}  // namespace penstock::net
