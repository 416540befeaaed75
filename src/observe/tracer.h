// SPDX-License-Identifier: Apache-2.0
// Traces a part of the calls.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/metrics/metrics.h"
#include "base/options/option_row.h"
#include "base/status.h"
#include "net/call_observer.h"
#include "observe/span_exporter.h"

namespace penstock {

// The member defaults are those of the flags (TraceOptionRows).
struct TraceOptions {
  std::string endpoint;              // empty: no traces
  std::string sample_rate = "0.01";  // 0 to 1
  std::string service_name = "penstock";
};

// The flags --trace_endpoint and its relatives. Static storage.
std::span<const OptionRow> TraceOptionRows();

// Chooses the calls that are traced, and sends their spans. A call whose client says by traceparent
// whether it traces (W3C Trace Context) follows the client; of the others a random part is traced.
// Probes never are. An untraced call costs one search for a header. Thread-safe.
class Tracer final : public net::CallObserver {
 public:
  // Returns null if there is no endpoint. `metrics` must outlive it. `version` is the server's.
  // INVALID_ARGUMENT for a wrong endpoint or rate; the message names the flag.
  static StatusOr<std::unique_ptr<Tracer>> Make(const TraceOptions& options,
                                                std::string_view version, MetricsRegistry& metrics);

  CallFilter filter() const override { return {}; }
  bool observes_starts() const override { return true; }
  void OnCallStart(net::Call& call) override;
  void OnCallEnd(const net::Call& call) override;

 private:
  Tracer(uint64_t sampled_below, SpanExporterOptions options, MetricsRegistry& metrics);
  // Makes `call` a traced one if its traceparent says so, or if it has none and is chosen. `header`
  // is that traceparent, and may be empty or wrong.
  static void Decide(net::Call& call, bool is_chosen, std::string_view header);

  const uint64_t sampled_below_;  // a call is traced if a random number is below this
  const bool samples_all_;
  SpanExporter exporter_;
};

}  // namespace penstock
