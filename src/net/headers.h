// SPDX-License-Identifier: Apache-2.0
// Header fields and what is known of a request before its body.
#pragma once

#include <span>
#include <string_view>

#include "absl/container/inlined_vector.h"

namespace penstock::net {

// A header field. Views: into the connection's memory for received ones.
struct Header {
  std::string_view name;  // lower case when received over HTTP/2; compare with FindHeader
  std::string_view value;
};

// Compares as header names are compared: ASCII letters without case.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

// The value of the first field called `name` (compared without case), or an empty view.
std::string_view FindHeader(std::span<const Header> headers, std::string_view name);

enum class Protocol { kHttp1, kHttp2 };

// What is known of a listening socket. Immutable; alive as long as the calls that came through it.
struct Endpoint {
  bool is_tls = false;
  bool demands_client_certificate = false;
  // A unix socket, or an address of the loopback interface. This says where the server listens, and
  // not where the client is: behind a proxy on this host every client has a loopback address.
  bool is_local = false;
  // This port has no TLS, and another one of the server has.
  bool bypasses_tls = false;
  std::string_view grpc_refusal = {};  // see ListenOptions
};
inline constexpr Endpoint kUnknownEndpoint{};

// A request without its body. Immutable; alive as long as the call.
struct RequestHead {
  std::string_view method;  // as "POST"
  std::string_view path;  // as received, percent-encoded, without the query: "/v1/models/a:predict"
  std::string_view query;           // behind the '?', percent-encoded; empty if none
  std::string_view authority;       // Host or :authority
  std::span<const Header> headers;  // without pseudo-headers
  Protocol protocol = Protocol::kHttp1;
  const Endpoint* endpoint = &kUnknownEndpoint;  // never null
  std::string_view peer;  // the client's address, as "127.0.0.1:40122" or "unix"
};

}  // namespace penstock::net
