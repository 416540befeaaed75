// SPDX-License-Identifier: Apache-2.0
// The options of a server. Each has its default here.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/request_memory.h"

namespace penstock::access {
class AccessControl;
}

namespace penstock::net {

class CallObserver;

// Certificates and keys, as files or as text. All endpoints with TLS share them.
struct TlsOptions {
  // A PEM file with the certificate chain. Without certificate and key there is no TLS.
  std::string certificate_file = {};
  std::string key_file = {};        // PEM
  std::string client_ca_file = {};  // PEM. The server checks clients' certificates against it.
  bool require_client_certificate = false;
  // PEM text instead of files, as in TensorFlow Serving's ssl_config_file. Used only where the file
  // name is empty.
  std::string certificate_pem = {}, key_pem = {}, client_ca_pem = {};
  std::string pem_source = {};  // Where these texts come from. For messages.
  // How often the server checks whether the files have changed. 0: never.
  Duration reload_interval = std::chrono::seconds(10);

  bool enabled() const { return !certificate_file.empty() || !certificate_pem.empty(); }
};

// Where to listen. Set either port or unix_path, not both.
struct ListenOptions {
  // An IP address. "::" accepts IPv4 too, and falls back to 0.0.0.0 on a machine without IPv6.
  std::string address = "::";
  int port = -1;  // 0: any free port
  std::string unix_path = {};
  bool tls = false;
  // For operators only. The file of a unix socket then is for its owner only.
  bool is_admin = false;
  std::string asked_by = {};  // The setting that asked for this address. For messages.
  // If not empty, gRPC calls are refused with this sentence. Routes that are `on_every_port` are
  // not refused.
  std::string grpc_refusal = {};
  // If not empty, a path is first looked up with this text before it, so that this port may serve
  // other paths than the others. With "mine:", the route "mine:/" is this port's page "/".
  std::string own_paths = {};
};
// Returns true if other hosts cannot reach this IP address.
bool IsLoopback(const std::string& address);

// Every limit that protects the server from its clients is here. The numbers are totals of the
// process, unless the comment says that they hold for one connection or one request.
struct ServerOptions {
  std::vector<ListenOptions> listen;
  // If false, Start only binds the addresses. They refuse connections until Server::Listen is
  // called.
  bool listens_at_start = true;
  TlsOptions tls;
  int loops = 0;  // Event loops, one thread each. 0: as many as there are usable CPUs.

  // The limit for one body or message. It also holds after inflating.
  uint64_t body_bytes_max = (uint64_t{2} << 30) - 1;
  // The limit for all bodies together. 0: a quarter of the usable memory.
  uint64_t inflight_bytes_max = 0;
  // The limit for the address space that all bodies reserve. 0: 8 times inflight_bytes_max, at most
  // half of what the process may use (ulimit -v).
  uint64_t body_reservation_bytes_max = 0;
  // The budget that counts the bodies. Other components may count their memory in the same budget.
  // Null: the server makes one of its own.
  RequestBudget request_budget;
  size_t header_bytes_max = 64 * 1024;  // The limit for the head of one request.
  int connections_max = 100'000;
  int requests_max = 100'000;  // Requests that are served at the same time, over all connections.
  int streams_per_connection_max = 1000;
  // Requests of which only a part has arrived, over all connections. 0: requests_max,
  // but at most one for 32 KiB of inflight_bytes_max.
  int incomplete_requests_max = 0;
  // A connection may always have this many of them, even when there are incomplete_requests_max.
  int incomplete_requests_per_connection_max = 8;
  // The limit for a connection's open streams that do not count as requests: health watches and
  // reflection.
  int watches_per_connection_max = 16;
  // Reading pauses when more bytes of answers than this are queued on the connection.
  size_t write_queue_bytes_max = 64 * 1024;
  // How long a connection may stay open without a request. 0: without a limit.
  Duration idle_timeout = std::chrono::minutes(15);
  // How long a connection may be used, give or take a tenth. Then the peer is asked to open another
  // one: a GOAWAY of HTTP/2, or `connection: close` of HTTP/1.1. 0: without a limit.
  Duration connection_age_max{};
  // How long the open requests of such a connection may go on before they get errors. 0: without a
  // limit.
  Duration connection_age_grace{};
  // From the first byte of a head to its end. The TLS handshake has the same limit.
  Duration header_timeout = std::chrono::seconds(30);
  // How long an unfinished body may stall without any new byte.
  Duration body_timeout = std::chrono::seconds(60);
  Duration write_timeout =
      std::chrono::seconds(60);  // How long the peer may take no byte of an answer.
  Duration http_request_timeout =
      std::chrono::seconds(30);  // The deadline of plain HTTP calls. 0: none.
  // After an HTTP/1.1 client has closed its sending side, an answer must begin within this time.
  Duration half_close_grace = std::chrono::seconds(1);
  // How long Drain waits for the requests in flight.
  Duration drain_timeout = std::chrono::seconds(30);
  // How long an HTTP/2 connection may be silent before the server pings it. 0: no pings.
  Duration keepalive_interval = std::chrono::hours(2);
  // The bytes that an HTTP/2 client may send before it must wait for the server to take some: on
  // one stream, and on the whole connection. A smaller window would stop large inputs for a round
  // trip each time.
  uint64_t http2_stream_window_bytes = 32 << 20;
  uint64_t http2_connection_window_bytes = 64 << 20;
  // Who may use the server. Null: everybody. Must outlive the server.
  const access::AccessControl* access = nullptr;
  CallObserver* observer = nullptr;  // Gets the records of calls. Must outlive the server.
  bool cors = false;                 // TensorFlow Serving's --rest_api_enable_cors_support
};

}  // namespace penstock::net
