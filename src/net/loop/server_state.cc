// SPDX-License-Identifier: Apache-2.0
// The defaults of the limits depend on each other. Bodies may take a quarter of the memory. They
// may reserve eight times that in address space, because a client that announces much and sends
// little should take nothing but address space. The number of incomplete requests follows from the
// memory for bodies. So a client that only begins requests runs into that number first, and leaves
// memory to the others.
#include "net/loop/server_state.h"

#include <algorithm>

#include "base/calls/thread_time.h"
#include "base/os/machine.h"
#include "net/call_observer.h"
#include "net/loop/big_buffer_pool.h"

namespace penstock::net {
namespace {

// The most memory that the pool of big buffers keeps for later bodies.
constexpr uint64_t kPoolBytesMax = 512 << 20;
// Bodies may reserve this many times the memory that they may take. A body that reserves no more
// than twice its received bytes takes less than half of that, so that scarcity refuses nobody.
constexpr uint64_t kReservationFactor = 8;
// An incomplete request takes about 5 KiB, and its body counts 1 to 16 KiB until more of it has
// come. So the limit of incomplete requests is reached before they fill the budget, unless clients
// send that much.
constexpr uint64_t kBodyBytesPerIncompleteRequest = 32 * 1024;

Counter& RequestCounter(MetricsRegistry& registry, const char* protocol) {
  return registry.AddCounter("penstock_net_requests_total", "Requests by protocol.",
                             {{"protocol", protocol}});
}
Counter& LimitCounter(MetricsRegistry& registry, const char* limit) {
  return registry.AddCounter("penstock_net_limits_hit_total",
                             "How often a client ran into a limit of the server.",
                             {{"limit", limit}});
}

std::vector<Endpoint> EndpointsOf(const ServerOptions& options) {
  std::vector<Endpoint> endpoints;
  const bool has_tls = std::any_of(options.listen.begin(), options.listen.end(),
                                   [](const ListenOptions& listen) { return listen.tls; });
  for (const ListenOptions& listen : options.listen) {
    endpoints.push_back(
        {.is_tls = listen.tls,
         .demands_client_certificate = listen.tls && options.tls.require_client_certificate,
         .is_local = !listen.unix_path.empty() || IsLoopback(listen.address),
         .bypasses_tls = has_tls && !listen.tls,
         .is_admin = listen.is_admin,
         .grpc_refusal = listen.grpc_refusal,
         .own_paths = listen.own_paths});
  }
  return endpoints;
}

}  // namespace

NetMetrics::NetMetrics(MetricsRegistry& registry)
    : connections(registry.AddCounter("penstock_net_connections_total", "Connections accepted.")),
      connections_open(registry.AddGauge("penstock_net_connections_open", "Open connections.")),
      body_reserved_bytes(registry.AddGauge(
          "penstock_net_body_reserved_bytes",
          "Address space that the bodies of requests have reserved. Only a part of it takes "
          "memory.")),
      body_bytes_copied(registry.AddCounter(
          "penstock_net_body_bytes_copied_total",
          "Bytes of request bodies of known length, from 32 KiB on, that were copied after they "
          "had been read.")),
      http1_requests(RequestCounter(registry, "http/1.1")),
      http2_requests(RequestCounter(registry, "http/2")),
      grpc_requests(RequestCounter(registry, "grpc")),
      bytes_received(
          registry.AddCounter("penstock_net_bytes_received_total", "Bytes received, below TLS.")),
      bytes_sent(registry.AddCounter("penstock_net_bytes_sent_total", "Bytes sent, below TLS.")),
      limit_connections(LimitCounter(registry, "connections")),
      limit_requests(LimitCounter(registry, "requests")),
      limit_body_reservation(LimitCounter(registry, "body_reservation")),
      limit_body_bytes(LimitCounter(registry, "body_bytes")),
      limit_header_bytes(LimitCounter(registry, "header_bytes")),
      limit_timeouts(LimitCounter(registry, "timeout")),
      limit_floods(LimitCounter(registry, "flood")),
      protocol_errors(registry.AddCounter("penstock_net_protocol_errors_total",
                                          "Connections or requests that broke the protocol.")),
      tls_errors(registry.AddCounter("penstock_net_tls_errors_total", "TLS handshakes failed.")),
      access_refusals(registry.AddCounter("penstock_net_access_refusals_total",
                                          "Requests refused because their credentials are missing "
                                          "or wrong.")) {}

ServerState::ServerState(ServerOptions server_options, const Router& routes,
                         MetricsRegistry& registry, const Clock& time)
    : options(std::move(server_options)),
      endpoints(EndpointsOf(options)),
      router(routes),
      clock(time),
      call_filter(options.observer != nullptr ? options.observer->filter() : CallFilter()),
      observes_starts(options.observer != nullptr && options.observer->observes_starts()),
      observes_successes(call_filter.wants_successes()),
      metrics(registry),
      requests(static_cast<uint64_t>(options.requests_max)),
      incomplete_requests(static_cast<uint64_t>(options.incomplete_requests_max)),
      request_budget(options.request_budget != nullptr
                         ? options.request_budget
                         : MakeRequestBudget(options.inflight_bytes_max, registry)),
      body_bytes(*request_budget),
      big_buffers(
          std::make_shared<BigBufferPool>(std::min(kPoolBytesMax, options.inflight_bytes_max / 4),
                                          options.body_reservation_bytes_max)) {}

ServerState::~ServerState() = default;

void ServerState::ReportTo(CallObserver& observer, Call& call) const {
  CallRecord& record = call.record();
  if (record.ended == SteadyTime{}) record.ended = ThreadTime::Read(clock);
  if (record.Wants(record.IsError(), record.ended - call.start())) observer.OnCallEnd(call);
}

RequestBudget MakeRequestBudget(uint64_t bytes, MetricsRegistry& metrics) {
  return std::make_shared<RequestAllowance>(bytes, LimitCounter(metrics, "inflight_bytes"));
}

void ServerState::NotifyEnd() {
  // The lock closes a gap: without it, this call could come between the waiter's check and its
  // wait, and be lost.
  MutexLock lock(mutex_);
  changed_.NotifyAll();
}

bool ServerState::WaitUntilQuiet(const std::function<bool()>& is_quiet, SteadyTime until) {
  MutexLock lock(mutex_);
  while (!is_quiet())
    if (!changed_.WaitUntil(mutex_, until)) return is_quiet();
  return true;
}

Duration ServerState::TickInterval() const {
  Duration interval = std::chrono::seconds(1);
  // A quarter of the shortest timeout: then a timeout is noticed at most a quarter too late.
  for (const Duration timeout :
       {options.idle_timeout, options.header_timeout, options.body_timeout, options.write_timeout,
        options.keepalive_interval, options.connection_age_max, options.connection_age_grace})
    if (timeout > Duration::zero()) interval = std::min(interval, timeout / 4);
  return std::max<Duration>(interval, std::chrono::milliseconds(5));
}

ServerOptions WithDefaults(ServerOptions options) {
  if (options.loops <= 0) options.loops = UsableCpus();
  // The rest of the memory is for the models, their runs and the page cache.
  if (options.inflight_bytes_max == 0) options.inflight_bytes_max = UsableMemoryBytes() / 4;
  if (options.body_reservation_bytes_max == 0) {
    options.body_reservation_bytes_max = std::min(
        // The inner minimum keeps the product from overflowing.
        kReservationFactor * std::min(options.inflight_bytes_max, UINT64_MAX / kReservationFactor),
        AddressSpaceBytesMax() / 2);
  }
  if (options.incomplete_requests_max == 0) {
    const uint64_t by_memory = options.inflight_bytes_max / kBodyBytesPerIncompleteRequest;
    options.incomplete_requests_max = static_cast<int>(
        std::clamp<uint64_t>(by_memory, 1, static_cast<uint64_t>(options.requests_max)));
  }
  return options;
}

}  // namespace penstock::net
