// SPDX-License-Identifier: Apache-2.0
// A client for GET and POST over HTTP/1.1, plain or TLS, with one request at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace penstock {

// The longest delay until a cancel is noticed.
inline constexpr Duration kCancelSlice = std::chrono::milliseconds(50);
inline constexpr size_t kQuotedMax = 300;  // the most bytes of a server's text that an error quotes

// The server to connect to, and how to check that it is the right one. Immutable.
struct HttpEndpoint {
  std::string host = {};
  std::string port = {};
  bool tls = true;
  bool verifies_certificate = true;
  std::string ca_file = {};  // PEM file with certificate authorities; empty: the system's
  // The environment variable that names such a file, for messages.
  std::string_view ca_variable = "AWS_CA_BUNDLE";

  // In the form of a host header: without the port if it is the default one.
  std::string Authority() const;
};

struct HttpClientOptions {
  Duration connect_timeout = std::chrono::seconds(10);
  Duration stall_timeout = std::chrono::seconds(30);  // time without another 16 KiB of the body
  SteadyTime end = SteadyTime::max();                 // when every request must be over
};

// The status line and the headers of a response. One thread at a time.
struct HttpHead {
  int status = 0;
  std::map<std::string, std::string> headers;  // names are in lower case
  // Returns an empty value if the header is missing.
  std::string_view Header(const std::string& name) const;
};

// Receives the next piece of a body. An error ends the request, which returns it.
using HttpSink = std::function<Status(const HttpHead& head, std::string_view piece)>;

// Keeps its connection open for the next request. It blocks the calling thread, so it is not for
// event loops.
//
//   HttpClient client({.host = "store", .port = "443"}, {});
//   std::string body;
//   const auto sink = [&](const HttpHead&, std::string_view piece) {
//     body += piece;
//     return OkStatus();
//   };
//   const auto head = client.Get("/a", {{"host", "store"}}, sink, is_cancelled);
//
// It follows no redirects, adds no headers, and sets no limit for the body: the sink does. One
// thread at a time.
class HttpClient final {
 public:
  HttpClient(HttpEndpoint endpoint, HttpClientOptions options);
  ~HttpClient();

  // Sends the request and passes the body to `sink` as it arrives. Any status code is OK here.
  // Errors: UNAVAILABLE (cannot connect, connection lost), DEADLINE_EXCEEDED (too slow for too
  // long, or not over at its end), INTERNAL (not HTTP), each with the server's name. CANCELLED soon
  // after `is_cancelled` is set.
  StatusOr<HttpHead> Get(const std::string& target,
                         const std::map<std::string, std::string>& headers, const HttpSink& sink,
                         const std::atomic<bool>& is_cancelled);
  // The same for a POST with this body. It may arrive twice if the server closes the connection
  // before it answers.
  StatusOr<HttpHead> Post(const std::string& target,
                          const std::map<std::string, std::string>& headers, std::string_view body,
                          const HttpSink& sink, const std::atomic<bool>& is_cancelled);

 private:
  class Connection;
  struct Request {
    const std::string& target;
    const std::map<std::string, std::string>& headers;
    std::optional<std::string_view> body = std::nullopt;  // nullopt: a GET
  };

  StatusOr<HttpHead> Send(const Request& what, const HttpSink& sink,
                          const std::atomic<bool>& is_cancelled);

  const HttpEndpoint endpoint_;
  const HttpClientOptions options_;
  std::unique_ptr<Connection> connection_;  // null: no open connection
};

}  // namespace penstock
