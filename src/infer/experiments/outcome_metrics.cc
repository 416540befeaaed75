// SPDX-License-Identifier: Apache-2.0
#include "infer/experiments/outcome_metrics.h"

#include <utility>

namespace penstock {

OutcomeMetrics::OutcomeMetrics(MetricsRegistry& metrics, std::string_view name,
                               std::string_view help, MetricLabels labels)
    : metrics_(metrics),
      count_name_(fmt::format("{}_requests_total", name)),
      help_(fmt::format("Requests that {}, by status.", help)),
      labels_(std::move(labels)),
      latency_(metrics.AddHistogram(
          fmt::format("{}_latency_us", name),
          fmt::format("Time of successful requests that {}, microseconds.", help),
          LatencyBucketsUs(), labels_)) {
  CounterFor(StatusCode::kOk);
}

Counter& OutcomeMetrics::CounterFor(StatusCode code) {
  std::atomic<Counter*>& counter = counts_[static_cast<size_t>(code) % kCodes];
  if (Counter* const found = counter.load(std::memory_order_acquire)) return *found;
  MetricLabels labels = labels_;
  labels.emplace_back("status", StatusCodeName(code));
  // Several threads may get here at once: the registry gives all of them the same counter.
  Counter& added = metrics_.AddCounter(count_name_, help_, labels);
  counter.store(&added, std::memory_order_release);
  return added;
}

void OutcomeMetrics::Record(StatusCode code, Duration time) {
  CounterFor(code).Add();
  if (code == StatusCode::kOk)
    latency_.Record(std::chrono::duration<double, std::micro>(time).count());
}

}  // namespace penstock
