// SPDX-License-Identifier: Apache-2.0
// Counts the requests that the server did not run, by reason.
#pragma once

#include <string>
#include <utility>

#include "base/metrics/metrics.h"

namespace penstock {

// The counters of all reasons, as penstock_requests_refused_total{reason}. Requests that the
// network layer refuses count in its own metric, penstock_net_limits_hit_total. Thread-safe.
// `metrics` must outlive it.
class Refusals final {
 public:
  explicit Refusals(MetricsRegistry& metrics)
      : queue_full(Make(metrics, "queue_full")),
        queue_bytes_full(Make(metrics, "queue_bytes_full")),
        model_queue_full(Make(metrics, "model_queue_full")),
        model_queue_bytes_full(Make(metrics, "model_queue_bytes_full")),
        deadline_too_close(Make(metrics, "deadline_too_close")),
        waited_too_long(Make(metrics, "waited_too_long")),
        no_thread(Make(metrics, "no_thread")),
        deadline_passed(Make(metrics, "deadline_passed")),
        client_left(Make(metrics, "client_left")),
        not_available(Make(metrics, "not_available")) {}

  Counter& queue_full;  // too many requests of all models wait
  Counter& queue_bytes_full;
  Counter& model_queue_full;  // too many requests of the model wait
  Counter& model_queue_bytes_full;
  Counter& deadline_too_close;  // for the requests that wait before it
  Counter& waited_too_long;     // by the model's own limit
  Counter& no_thread;           // none could be started, or the server stops
  Counter& deadline_passed;     // before the model ran
  Counter& client_left;         // before the model ran
  Counter& not_available;       // the model, or the version, could not be loaded in time

 private:
  static Counter& Make(MetricsRegistry& metrics, std::string reason) {
    return metrics.AddCounter("penstock_requests_refused_total",
                              "Inferences that did not run, by reason.",
                              {{"reason", std::move(reason)}});
  }
};

}  // namespace penstock
