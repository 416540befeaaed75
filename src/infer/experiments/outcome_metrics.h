// SPDX-License-Identifier: Apache-2.0
// Metrics of one arm or shadow: requests by status, and the latency of successful requests.
#pragma once

#include <array>
#include <atomic>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/status.h"

namespace penstock {

// Counts the outcomes of requests. Thread-safe; it takes a lock only for the first request of each
// status.
class OutcomeMetrics final {
 public:
  // Adds the counter NAME_requests_total {labels, status} and the histogram NAME_latency_us
  // {labels}. Both are visible at once, the counter with the status OK. `metrics` must outlive it.
  OutcomeMetrics(MetricsRegistry& metrics, std::string_view name, std::string_view help,
                 MetricLabels labels);

  // Counts one request. `time` counts only if the code is OK: errors are often fast.
  void Record(StatusCode code, Duration time);

 private:
  static constexpr size_t kCodes = 17;

  Counter& CounterFor(StatusCode code);

  MetricsRegistry& metrics_;
  const std::string count_name_;
  const std::string help_;
  const MetricLabels labels_;
  Histogram& latency_;
  std::array<std::atomic<Counter*>, kCodes> counts_{};
};

}  // namespace penstock
