// SPDX-License-Identifier: Apache-2.0
// The state that all loops of a server share.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/calls/call_record.h"
#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "net/call.h"
#include "net/loop/allowance.h"
#include "net/loop/idle_memory.h"
#include "net/options.h"
#include "net/router.h"

namespace penstock::net {

class BigBufferPool;

// The metrics of the network layer. Thread-safe.
struct NetMetrics {
  explicit NetMetrics(MetricsRegistry& registry);

  Counter& connections;
  Gauge& connections_open;
  Gauge& body_reserved_bytes;  // see BigBufferPool::Report
  // Of bodies whose length is known, from kBigBodyBytes on. What is read to its place is not
  // copied.
  Counter& body_bytes_copied;
  Counter& http1_requests;
  Counter& http2_requests;  // plain HTTP over HTTP/2
  Counter& grpc_requests;
  Counter& bytes_received;
  Counter& bytes_sent;
  // Counts of the limits that clients ran into.
  Counter& limit_connections;
  Counter& limit_requests;
  Counter& limit_body_reservation;
  Counter& limit_body_bytes;  // one body over body_bytes_max
  Counter& limit_header_bytes;
  Counter& limit_timeouts;  // idle connections do not count
  Counter& limit_floods;
  Counter& protocol_errors;
  Counter& tls_errors;
  Counter& access_refusals;  // requests without good credentials
};

// What the loops of a server share: its options, its router, its limits, its metrics and the drain
// flag. Calls keep it alive, since a model may answer after the server has ended; but the router,
// the metrics and the clock live only as long as the server. Fixed after construction or
// thread-safe.
class ServerState final {
 public:
  // `registry`, `routes` and `time` must outlive the server. Options for which 0 means "depends on
  // the machine" must be filled in already (see WithDefaults).
  ServerState(ServerOptions server_options, const Router& routes, MetricsRegistry& registry,
              const Clock& time);
  ~ServerState();

  const ServerOptions options;
  const std::vector<Endpoint> endpoints;  // of options.listen, in that order
  const Router& router;
  const Clock& clock;
  const CallFilter call_filter;   // of options.observer
  const bool observes_starts;     // options.observer wants to see calls that start
  const bool observes_successes;  // somebody reads the records of calls that succeed
  NetMetrics metrics;
  // Limits of the whole server. The loops take from them in lots (LocalAllowance).
  Allowance requests;
  Allowance incomplete_requests;
  const RequestBudget request_budget;
  Allowance& body_bytes;  // the allowance inside request_budget
  // How often a loop had to refuse input because the budget was full.
  std::atomic<uint64_t> body_shortages{0};
  // More than half of the budget is used. While this is true, slow senders lose their place
  // (IncompleteRequests::NoteProgress).
  bool is_memory_scarce() const { return body_bytes.left() < body_bytes.total() / 2; }
  const std::shared_ptr<BigBufferPool> big_buffers;
  IdleMemory idle_memory;

  bool is_draining() const { return draining_.load(std::memory_order_acquire); }
  void StartDrain() { draining_.store(true, std::memory_order_release); }

  // Returns the first of `count` numbers that no other caller gets.
  uint64_t TakeRequestIds(uint64_t count) {
    return next_request_id_.fetch_add(count, std::memory_order_relaxed);
  }

  // Gives the record of a call that has ended to the observer, if it wants it. Call it on the
  // thread that ends the call, before the call is reused. Thread-safe.
  void ReportEnd(Call& call) const {
    const CallRecord& record = call.record();
    if (observes_successes || record.is_traced || (call_filter.errors && record.IsError()))
        [[unlikely]]
      ReportTo(*options.observer, call);
  }

  // A connection or a request has ended. Wakes WaitUntilQuiet. Called only while the server drains.
  void NotifyEnd();
  // Waits until `is_quiet` returns true or `until` has come. Returns its last result. Blocks, so
  // never call it on a loop. `is_quiet` runs on this thread, under a lock: it must be quick, and
  // must not call NotifyEnd.
  bool WaitUntilQuiet(const std::function<bool()>& is_quiet, SteadyTime until);

  // How often connections check their timeouts: each second, or more often if a timeout is short.
  Duration TickInterval() const;

 private:
  void ReportTo(CallObserver& observer, Call& call) const;

  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> next_request_id_{1};
  Mutex mutex_;
  CondVar changed_;
};

// Makes a budget of `bytes`. Its refusals are counted in
// penstock_net_limits_hit_total{limit="inflight_bytes"}. `metrics` must outlive it.
RequestBudget MakeRequestBudget(uint64_t bytes, MetricsRegistry& metrics);

// Fills in the options for which 0 means "depends on the machine": loops, inflight_bytes_max,
// body_reservation_bytes_max, incomplete_requests_max.
ServerOptions WithDefaults(ServerOptions options);

}  // namespace penstock::net
