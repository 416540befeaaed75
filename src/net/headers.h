// SPDX-License-Identifier: Apache-2.0
// Header fields, and the part of a request that is known before its body.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "absl/container/inlined_vector.h"

namespace penstock::access {
class Caller;
}

namespace penstock::net {

// A header field. The views of a received field point to the connection's memory.
struct Header {
  std::string_view name;  // Lower case if received over HTTP/2. Use FindHeader to compare.
  std::string_view value;
};

// Compares header names: ASCII letters match without regard to case.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

// Returns the value of the first field with this name, in any case, or an empty view.
std::string_view FindHeader(std::span<const Header> headers, std::string_view name);

// Returns the part of a value such as "text/plain; charset=utf-8" before its parameters.
std::string_view WithoutParameters(std::string_view value);

// One element of a list with weights, such as Accept (RFC 9110, section 12.4.2).
struct WeightedElement {
  std::string_view name;
  int quality;  // in thousandths; 0: not acceptable
};
// Removes the first element from `list`, which must not be empty, and returns it. An element
// without "q=" has the quality 1000; one whose "q=" is no number has 0. The name is a view of the
// list, and may be empty ("a,,b").
WeightedElement TakeWeighted(std::string_view& list);

enum class Protocol { kHttp1, kHttp2 };

// The properties of a listening socket. Immutable; lives as long as the calls that came through it.
struct Endpoint {
  bool is_tls = false;
  bool demands_client_certificate = false;
  // True for a unix socket or an address of the loopback interface. This says where the server
  // listens, not where the client is: behind a proxy on this host every client has a loopback
  // address.
  bool is_local = false;
  // True if this port has no TLS but another port of the server has.
  bool bypasses_tls = false;
  // True for --admin_port and --admin_socket.
  bool is_admin = false;
  std::string_view grpc_refusal = {};  // see ListenOptions
  std::string_view own_paths = {};     // see ListenOptions
};
inline constexpr Endpoint kUnknownEndpoint{};

// A request without its body. Immutable; lives as long as the call.
struct RequestHead {
  std::string_view method;  // such as "POST"
  // As received: percent-encoded, without the query, such as "/v1/models/a:predict".
  std::string_view path;
  std::string_view query;      // The text after the '?', percent-encoded. Empty if there is none.
  std::string_view authority;  // Host or :authority
  std::span<const Header> headers;  // without pseudo-headers
  Protocol protocol = Protocol::kHttp1;
  const Endpoint* endpoint = &kUnknownEndpoint;  // never null
  std::string_view peer;  // the client's address, such as "127.0.0.1:40122", or "unix"
  // Who sends the request. Null: the server has no token file, and everybody may do everything.
  std::shared_ptr<const access::Caller> caller = nullptr;
};

}  // namespace penstock::net
