// SPDX-License-Identifier: Apache-2.0
// Sends requests for a time, and counts what becomes of them.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "bench/bench_options.h"
#include "bench/endpoint.h"
#include "bench/grpc_client.h"
#include "bench/latencies.h"

namespace penstock::bench {

// The errors of one code.
struct ErrorCount {
  Latencies times;
  std::string message;  // of the first one
};

// What became of the requests that were due in the measured time. One thread at a time.
struct LoadResult {
  double rate = 0;     // that was asked for; 0: a closed loop
  double seconds = 0;  // the measured time
  int64_t sent = 0;
  int64_t answered_in_time = 0;  // well, before the end of the measured time
  int64_t in_deadline = 0;       // well, and within the deadline if there is one
  int64_t unanswered = 0;        // when the wait for the last answers ended
  int64_t unsent = 0;            // due, but in_flight_max others were under way
  Latencies ok;
  std::array<ErrorCount, 17> errors;  // by code
  Latencies late;                     // how long after its moment a request was sent (open loop)
  double busy = 0;                    // the share of the measured time in which a thread computed
  int64_t connections_lost = 0;
  bool was_full = false;      // in_flight_max requests were under way
  int64_t streams_limit = 0;  // the server's, if more requests of a connection had to wait; else 0
  Status failure;             // why the run ended early; OK: it did not

  // Good answers per second.
  double Throughput() const {
    return seconds > 0 ? static_cast<double>(answered_in_time) / seconds : 0;
  }
  int64_t ErrorsTotal() const;
  void Add(LoadResult other);
};

// What all threads of a run send.
struct LoadTarget {
  const Endpoint& endpoint;
  const CallSettings& call;
  const std::string& framed;  // the request
};

// Runs the load, and returns when it has ended: after the warm-up, the measured time, and at most
// `timeout` for the last answers. Blocks.
StatusOr<LoadResult> RunLoad(const LoadOptions& options, const LoadTarget& target);

}  // namespace penstock::bench
