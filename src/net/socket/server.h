// SPDX-License-Identifier: Apache-2.0
// The network layer: listeners, event loops and connections. Every port speaks HTTP/1.1, HTTP/2 and
// gRPC.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/status.h"
#include "net/options.h"
#include "net/router.h"

namespace penstock::net {

class IoLoop;

// A running server: its listeners, event loops and connections.
//
//   Router router;
//   frontend.Register(router);
//   ServerOptions options;
//   options.listen = {{.port = 8500}, {.port = 8501}};
//   ASSIGN_OR_RETURN(auto server, Server::Start(std::move(options), router, metrics));
//   ...
//   server->Drain();  // on SIGTERM; then destroy it
//
// `router`, `metrics` and `clock` must outlive it; the router must not change any more. Its
// destructor ends at once everything that Drain has not ended: open calls are cancelled, and
// connections closed. Handlers that still run may keep their calls and answer into the void.
// Thread-safe.
class Server final {
 public:
  // Binds the addresses and starts the loops. Nothing has been started or changed if it fails.
  // Errors: UNAVAILABLE (address in use), INVALID_ARGUMENT (options, certificates). The message
  // names the address or file.
  static StatusOr<std::unique_ptr<Server>> Start(ServerOptions options, const Router& router,
                                                 MetricsRegistry& metrics,
                                                 const Clock& clock = Clock::Real());
  ~Server();

  // Begins to accept connections. Call it once, before Drain, and only if `listens_at_start` is
  // false. UNAVAILABLE if another process has taken an address meanwhile.
  Status Listen();

  // Returns the ports in the order of ServerOptions::listen. The port of a unix socket is 0.
  std::vector<int> ports() const;

  // Closes the listeners and asks clients to leave (GOAWAY, Connection: close). Then waits until
  // the requests in flight are answered and the connections closed, or until `drain_timeout` has
  // passed. Requests that are still open then are cut off: their clients get 503 or UNAVAILABLE,
  // and a log line counts them. Returns true if all requests were answered. Blocks, so never call
  // it on a loop. Call it once.
  bool Drain();

  // Returns a function that counts the requests that have begun and not ended. It may be called on
  // any thread, also when the server is gone.
  std::function<int64_t()> OpenRequests() const;

  // The loops, for connections to other servers. They may be kept when the server is gone.
  std::vector<std::shared_ptr<IoLoop>> IoLoops() const;

 private:
  // The end of a drain that took too long.
  void CutOff();
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::net
