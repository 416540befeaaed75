// SPDX-License-Identifier: Apache-2.0
// Which handler serves which path or gRPC method. Filled by the front ends before the server
// starts, then read by every event loop without a lock.
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

// Where the body shall land: gets the first bytes of a body (at most 4 KiB, maybe all of it) and
// its length, returns the offset in the body that shall be at a multiple of kBufferAlignment in
// memory. No side effects; any thread.
using LandingFunction = size_t (*)(std::span<const std::byte> prefix, uint64_t body_bytes);

using GrpcHandler = std::function<void(GrpcCallRef)>;
using HttpHandler = std::function<void(HttpCallRef)>;

struct GrpcRoute {
  std::string method;  // full: "/tensorflow.serving.PredictionService/Predict"
  bool is_unary = true;
  GrpcHandler handler = nullptr;
  LandingFunction landing = nullptr;  // null: the message itself is aligned
  bool compress = false;  // gzip answers for every client that takes it, not only for those that
                          // send gzip
  bool counts_as_request =
      true;  // false for probes: no request limit; streams end when the server drains
  bool on_every_port = false;  // also on those that refuse other gRPC calls
};

struct HttpRoute {
  // What must match the whole path, or, if it ends in '*', its beginning. The longest match wins.
  std::string path;
  // Allowed methods, as {"GET", "POST"}; GET implies HEAD. Others get 405 with an Allow header.
  // Empty: all.
  std::vector<std::string> methods = {};
  HttpHandler handler = nullptr;
  bool compress = true;  // the answer may be gzipped if the client takes it
  bool counts_as_request =
      true;  // false for probes and metrics: no request limit, served while draining
  bool prefix_ignores_case = false;
  LandingFunction landing = nullptr;
};

// One thread while it is filled, then immutable and thread-safe.
class Router {
 public:
  // A full gRPC method or a path that is registered already is a programming error (CHECK).
  void AddGrpc(GrpcRoute route);
  void AddHttp(HttpRoute route);
  // Answers a path that no route matches: it gets the call as soon as the head has arrived, without
  // the body; the default answers 404 with a JSON error.
  void SetHttpFallback(HttpHandler handler) { fallback_ = std::move(handler); }

  // Null if there is none.
  const GrpcRoute* FindGrpc(std::string_view method) const;
  const HttpRoute* FindHttp(std::string_view path) const;
  const HttpHandler& fallback() const { return fallback_; }

  // Full names of the gRPC services that have a method, sorted: for server reflection.
  std::vector<std::string> GrpcServices() const;

 private:
  StringMap<std::unique_ptr<GrpcRoute>> grpc_;
  StringMap<std::unique_ptr<HttpRoute>> exact_;
  std::vector<std::unique_ptr<HttpRoute>> prefixes_;  // longest first
  HttpHandler fallback_;
};

}  // namespace penstock::net
