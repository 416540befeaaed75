// SPDX-License-Identifier: Apache-2.0
// Requests by status, and how long those took that succeeded, of one arm or shadow.
#pragma once

#include <array>
#include <atomic>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/status.h"

namespace penstock {

// Thread-safe; no lock once a status has been counted.
class OutcomeMetrics final {
 public:
  // Counter NAME_requests_total {labels, status}, histogram NAME_latency_us {labels}; both are
  // there from the start. `name` and `help` are static; `metrics` outlives it.
  OutcomeMetrics(MetricsRegistry& metrics, std::string_view name, std::string_view help,
                 MetricLabels labels);

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
