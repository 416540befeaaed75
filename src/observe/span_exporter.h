// SPDX-License-Identifier: Apache-2.0
// Sends spans to a collector, by OTLP over HTTP.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "base/status.h"
#include "s3/http_client.h"

namespace penstock {

struct SpanExporterOptions {
  HttpEndpoint endpoint;
  std::string target = "/v1/traces";
  std::string service = "penstock";
  std::string version;
  Duration interval = std::chrono::seconds(1);  // the longest time that a span waits for others
  size_t batch_spans = 2048;                    // this many are sent without waiting
  size_t queue_spans_max = 16384;               // further spans are dropped
  size_t queue_bytes_max = 16 << 20;
};

// Parses --trace_endpoint: http[s]://host[:port][/path]. Sets endpoint and target. Without a path
// the target stays that of OTLP, /v1/traces. INVALID_ARGUMENT names the flag.
Status ParseTraceEndpoint(std::string_view text, SpanExporterOptions& options);

// Collects spans, and sends them from a thread of its own, by OTLP over HTTP with protobuf bodies
// (OTLP specification 1.x). A batch that the collector does not take is dropped and counted, never
// sent again: a trace with gaps is better than a server that fills its memory. Thread-safe.
class SpanExporter final {
 public:
  // `metrics` must outlive it.
  SpanExporter(SpanExporterOptions options, MetricsRegistry& metrics);
  // Sends what is left, but does not wait long for the collector.
  ~SpanExporter();
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  // Adds `count` spans, encoded by AppendSpans. Drops and counts them if the queue is full. Takes a
  // lock for the time of a copy, and never waits for the network.
  void Add(std::string_view spans, size_t count) EXCLUDES(mutex_);

 private:
  struct Batch {
    std::string spans;
    size_t count = 0;
  };

  // The loop of the thread.
  void Run() EXCLUDES(mutex_);
  // Waits for a batch that is worth sending, and swaps it with `batch`, whose memory the queue uses
  // next. False: the exporter ends.
  bool Take(Batch& batch) EXCLUDES(mutex_);
  // Sends one batch, and counts what becomes of it. Logs when sending begins to fail, and when it
  // works again.
  void Send(const Batch& batch);

  const SpanExporterOptions options_;
  Counter& sent_;
  Counter& dropped_by_queue_;
  Counter& dropped_by_export_;
  HttpClient client_;        // of the thread
  std::string body_;         // of the thread: the last request. Keeps its memory
  bool has_failed_ = false;  // of the thread
  std::atomic<bool> is_cancelled_{false};
  Mutex mutex_;
  CondVar changed_;
  Batch queue_ GUARDED_BY(mutex_);
  bool is_ending_ GUARDED_BY(mutex_) = false;
  bool has_ended_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace penstock
