// SPDX-License-Identifier: Apache-2.0
// GET over HTTP/1.1, plain or TLS, one request at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace penstock {

inline constexpr Duration kCancelSlice = std::chrono::milliseconds(50);  // until a cancel is seen
inline constexpr size_t kQuotedMax = 300;  // of a server's text in an error

struct HttpEndpoint {
  std::string host = {};
  std::string port = {};
  bool tls = true;
  bool verifies_certificate = true;
  std::string ca_file = {};  // PEM file with the authorities; empty: the system's

  // As in a host header: without the port if it is the usual one.
  std::string Authority() const;
};

struct HttpClientOptions {
  Duration connect_timeout = std::chrono::seconds(10);
  Duration stall_timeout = std::chrono::seconds(30);  // with fewer bytes than 16 KiB
};

struct HttpHead {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  // Empty if it is not there.
  std::string_view Header(const std::string& name) const;
};

// Takes the next piece of a body; an error ends the request with it.
using HttpSink = std::function<Status(const HttpHead& head, std::string_view piece)>;

// Keeps its connection for the next request. One thread at a time.
class HttpClient final {
 public:
  HttpClient(HttpEndpoint endpoint, HttpClientOptions options);
  ~HttpClient();

  // Sends the request and hands the body to `sink` as it comes. Any status code is OK here. Errors:
  // UNAVAILABLE (cannot connect, connection lost), DEADLINE_EXCEEDED (too little came for too
  // long), INTERNAL (no HTTP), each with the server's name; CANCELLED soon after `is_cancelled` is
  // set.
  StatusOr<HttpHead> Get(const std::string& target,
                         const std::map<std::string, std::string>& headers, const HttpSink& sink,
                         const std::atomic<bool>& is_cancelled);

 private:
  class Connection;

  const HttpEndpoint endpoint_;
  const HttpClientOptions options_;
  std::unique_ptr<Connection> connection_;  // null: none is open
};

}  // namespace penstock
