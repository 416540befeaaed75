// SPDX-License-Identifier: Apache-2.0
// The status lines are made once, since formatting one for each answer would cost more than the
// rest of a small head.
#include "net/http1/status.h"

#include <fmt/format.h>

#include <array>
#include <string>

namespace penstock::net {
namespace {

constexpr int kStatusMin = 100;
constexpr int kStatusMax = 599;

std::string_view Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

using Lines = std::array<std::string, kStatusMax - kStatusMin + 1>;

Lines MakeLines() {
  Lines lines;
  for (int status = kStatusMin; status <= kStatusMax; ++status)
    lines[static_cast<size_t>(status - kStatusMin)] =
        fmt::format("HTTP/1.1 {} {}\r\n", status, Reason(status));
  return lines;
}

}  // namespace

std::string_view StatusLine(int status) {
  static const Lines lines = MakeLines();
  if (status < kStatusMin || status > kStatusMax) status = 500;
  return lines[static_cast<size_t>(status - kStatusMin)];
}

}  // namespace penstock::net
