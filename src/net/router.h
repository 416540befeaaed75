// SPDX-License-Identifier: Apache-2.0
// Maps paths and gRPC methods to handlers. The front ends fill it before the server starts. After
// that every event loop reads it without a lock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/string_map.h"
#include "net/call.h"

namespace penstock::net {

// Chooses the alignment of a body in memory, so that the tensor inside it needs no copy. Gets the
// first bytes of the body (at most 4 KiB, perhaps all of it) and the length of the body. Returns
// the offset in the body that must be at a multiple of kBufferAlignment in memory. Must have no
// side effects. Called on any thread.
using LandingFunction = size_t (*)(std::span<const std::byte> prefix, uint64_t body_bytes);

// Handlers run on the event loop of the connection. They must not block or throw. They answer at
// once, or keep the reference and answer later on any thread.
using GrpcHandler = std::function<void(GrpcCallRef)>;
using HttpHandler = std::function<void(HttpCallRef)>;

// Who may use a route of a server that has a token file.
enum class RouteAccess : uint8_t {
  kNobody,    // The route was added without a thought about it.
  kCallers,   // Each known caller. The handler checks what they may do.
  kEveryone,  // Strangers too. The handler checks what they may see.
};

// The largest message of a method that only asks about the server or a model. The front end parses
// it on the event loop, to objects that may be many times as large as the message.
inline constexpr uint64_t kControlMessageBytesMax = 64 * 1024;

// How the server treats one gRPC method. Immutable once added.
struct GrpcRoute {
  std::string method;  // The full name: "/tensorflow.serving.PredictionService/Predict".
  bool is_unary = true;
  GrpcHandler handler = nullptr;
  LandingFunction landing = nullptr;  // Null: the start of the message is aligned.
  // The largest message, also after decompression. ServerOptions::body_bytes_max applies too.
  uint64_t message_bytes_max = UINT64_MAX;
  // If true, answers are compressed with gzip for every client that accepts it. If false, only for
  // clients that also send gzip.
  bool compress = false;
  // False for probes: they have no request limit, and their streams end when the server drains. The
  // handler of such a stream may use the head of the call only until it returns.
  bool counts_as_request = true;
  // If true, ports that refuse gRPC calls serve this method nevertheless.
  bool on_every_port = false;
  RouteAccess access = RouteAccess::kNobody;
};

// How the server treats one path, or all paths with one prefix. Immutable once added.
struct HttpRoute {
  // A path that must match exactly. If it ends in '*', a prefix. The longest match wins.
  std::string path;
  // The allowed methods, such as {"GET", "POST"}. GET implies HEAD. Other methods get 405 with an
  // Allow header. Empty: all methods.
  std::vector<std::string> methods = {};
  HttpHandler handler = nullptr;
  bool compress = true;  // The answer may be compressed with gzip if the client accepts it.
  // False for probes and metrics: they have no request limit, and are served during a drain.
  bool counts_as_request = true;
  bool prefix_ignores_case = false;
  LandingFunction landing = nullptr;
  RouteAccess access = RouteAccess::kNobody;
};

// The table of all routes. One thread while it is filled, then immutable and thread-safe.
//   Router router;
//   router.AddGrpc({.method = "/pkg.Service/Method", .handler = Handle,
//                   .access = RouteAccess::kCallers});
//   router.AddHttp({.path = "/v1/*", .handler = HandleV1, .access = RouteAccess::kCallers});
//   // A route without an access is of no use to a server with a token file: it is for nobody.
class Router {
 public:
  // Adds a route. Adding a gRPC method or a path twice is a programming error (CHECK).
  void AddGrpc(GrpcRoute route);
  void AddHttp(HttpRoute route);

  // Return null if there is no such route. The result lives as long as the router. `path` has no
  // query, and is compared as it was received, without decoding.
  const GrpcRoute* FindGrpc(std::string_view method) const;
  const HttpRoute* FindHttp(std::string_view path) const;

  // The sorted full names of the gRPC services that have a method. For server reflection.
  std::vector<std::string> GrpcServices() const;
  // The sorted methods and paths whose access is kNobody.
  std::vector<std::string> RoutesForNobody() const;

 private:
  StringMap<std::unique_ptr<GrpcRoute>> grpc_;
  StringMap<std::unique_ptr<HttpRoute>> exact_;
  std::vector<std::unique_ptr<HttpRoute>> prefixes_;  // longest first
};

}  // namespace penstock::net
