// SPDX-License-Identifier: Apache-2.0
// Unary gRPC calls to one server, from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "net/client/call.h"
#include "net/client/connection.h"
#include "net/client/loop.h"
#include "net/socket/io_loop.h"

namespace penstock::net {

// Unary calls to one server. Thread-safe.
class UnaryChannel {
 public:
  virtual ~UnaryChannel() = default;

  // Begins a call. `done` is called exactly once, later, on the thread of the loop. Returns the
  // number of the call.
  virtual uint64_t Start(UnaryRequest request, UnaryDone done) = 0;
  // Ends a call with CANCELLED, unless it has ended. The server is told.
  virtual void Cancel(uint64_t call) = 0;
};

// A server, and the connection to it that is made when the first call needs it. If the server goes
// away (GOAWAY), new calls get a new connection, and the open ones end on the old one.
//
//   ClientLoop loop("remote-0");
//   GrpcChannel channel(loop, {.host = "localhost", .port = 8500});
//   const uint64_t call = channel.Start({.path = "/pkg.Service/Method", .message = bytes},
//                                       [](UnaryAnswer&& answer) { ... });
//   channel.Cancel(call);  // perhaps
//
// A call waits for the connection at most until its deadline. After a failed attempt to connect,
// calls fail at once until the time of the next attempt: another server may answer them.
// Thread-safe.
class GrpcChannel final : public UnaryChannel {
 public:
  // `loop` must outlive it. If a loop of the server ends before, all calls end with CANCELLED.
  GrpcChannel(IoLoop& loop, ChannelOptions options);
  // Answers all open calls with CANCELLED, on the loop, perhaps later.
  ~GrpcChannel() override;
  GrpcChannel(const GrpcChannel&) = delete;
  GrpcChannel& operator=(const GrpcChannel&) = delete;

  // Errors beside those of the server:
  //   UNAVAILABLE: the connection failed, or too many calls are open; is_unprocessed says which
  //     calls may be tried elsewhere;
  //   DEADLINE_EXCEEDED, CANCELLED: as was asked;
  //   RESOURCE_EXHAUSTED: the answer is too large;
  //   INTERNAL, UNKNOWN: the answer is no good.
  uint64_t Start(UnaryRequest request, UnaryDone done) override;
  void Cancel(uint64_t call) override;

 private:
  class Core;
  class PostedStart;

  IoLoop& loop_;
  const std::shared_ptr<Core> core_;
  std::atomic<uint64_t> next_id_{1};
};

}  // namespace penstock::net
