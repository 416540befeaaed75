// SPDX-License-Identifier: Apache-2.0
// The network layer: listeners, event loops, connections. Every port speaks HTTP/1.1, HTTP/2 and
// gRPC.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "net/router.h"

namespace penstock::net {

struct TlsOptions {
  std::string certificate_file = {};  // PEM chain; empty together with key_file: no TLS
  std::string key_file = {};          // PEM
  std::string client_ca_file = {};    // PEM; clients' certificates are checked against it
  bool require_client_certificate = false;
  // PEM text instead of files, as in TensorFlow Serving's ssl_config_file; used where the file name
  // is empty.
  std::string certificate_pem = {}, key_pem = {}, client_ca_pem = {};
  std::string pem_source = {};  // where those texts are from, for messages
  Duration reload_interval =
      std::chrono::seconds(10);  // how often changed files are looked for; 0 = never

  bool enabled() const { return !certificate_file.empty() || !certificate_pem.empty(); }
};

// Where to listen. Exactly one of port and unix_path counts.
struct ListenOptions {
  std::string address =
      "::";  // IP address; "::" takes IPv4 too, and falls back to 0.0.0.0 where there is no IPv6
  int port = -1;  // 0 = any free one
  std::string unix_path = {};
  bool tls = false;
  std::string asked_by = {};  // the setting, for messages
  // Not empty: gRPC calls are refused with this sentence, but for those of routes that are
  // `on_every_port`.
  std::string grpc_refusal = {};
};
// True if no other host reaches the IP address.
bool IsLoopback(const std::string& address);

struct ServerOptions {
  std::vector<ListenOptions> listen;
  // False: the addresses are only bound, and refuse connections until Server::Listen.
  bool listens_at_start = true;
  TlsOptions tls;
  int loops = 0;  // event loops, one thread each; 0 = usable CPUs

  uint64_t body_bytes_max = (uint64_t{2} << 30) - 1;  // one body or message, also after inflating
  uint64_t inflight_bytes_max = 0;      // all bodies together; 0 = a quarter of the usable memory
  RequestBudget request_budget;         // counts them, with what else it counts; null: its own
  size_t header_bytes_max = 64 * 1024;  // one request's head
  int connections_max = 100'000;
  int requests_max = 100'000;  // being served at the same time, over all connections
  int streams_per_connection_max = 1000;
  // Requests that a connection may always have begun and not sent whole, however many others have.
  int incomplete_requests_per_connection_max = 8;
  // Streams that a connection may keep open without their counting as requests: health watches and
  // reflection.
  int watches_per_connection_max = 16;
  size_t write_queue_bytes_max =
      64 * 1024;  // small answers queued per connection before reading pauses
  Duration idle_timeout = std::chrono::minutes(15);  // connection without a request; 0 = never
  Duration header_timeout =
      std::chrono::seconds(30);  // from the first byte of a head to its end; TLS handshake too
  Duration body_timeout = std::chrono::seconds(60);  // without any byte of an unfinished body
  Duration write_timeout =
      std::chrono::seconds(60);  // without the peer taking any byte of an answer
  Duration http_request_timeout =
      std::chrono::seconds(30);  // deadline of plain HTTP calls; 0 = none
  // How long an answer may take to begin after an HTTP/1.1 client has closed its side.
  Duration half_close_grace = std::chrono::seconds(1);
  Duration drain_timeout = std::chrono::seconds(30);  // how long Drain waits for requests in flight
  Duration keepalive_interval =
      std::chrono::hours(2);  // HTTP/2 ping on an idle connection; 0 = never
  uint64_t http2_stream_window_bytes = 32 << 20;
  uint64_t http2_connection_window_bytes = 64 << 20;
  bool cors = false;  // TensorFlow Serving's --rest_api_enable_cors_support
};

// A budget of `bytes` whose refusals count among the limits that clients ran into.
RequestBudget MakeRequestBudget(uint64_t bytes, MetricsRegistry& metrics);

// Thread-safe. `router`, `metrics` and `clock` outlive it.
class Server final {
 public:
  // Binds and starts the loops. Errors: UNAVAILABLE (address in use), INVALID_ARGUMENT (options,
  // certificates), with the address or file in the message.
  static StatusOr<std::unique_ptr<Server>> Start(ServerOptions options, const Router& router,
                                                 MetricsRegistry& metrics,
                                                 const Clock& clock = Clock::Real());
  // Ends what Drain has not ended, at once.
  ~Server();

  // Takes connections from now on. Once, before Drain, and only without `listens_at_start`.
  // UNAVAILABLE if another process has taken an address meanwhile.
  Status Listen();

  // The ports in the order of ServerOptions::listen; 0 for unix sockets.
  std::vector<int> ports() const;

  // Closes the listeners, tells clients to go (GOAWAY, Connection: close), and waits until the
  // requests in flight are answered or `drain_timeout` has passed. True if all were answered.
  bool Drain();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::net
