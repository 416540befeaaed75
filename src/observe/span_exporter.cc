// SPDX-License-Identifier: Apache-2.0
// Event loops add spans, and one thread sends them. The first span of a batch wakes the thread,
// which then waits for more until the interval is over or the batch is full. So one request to the
// collector carries many spans, and an idle server sends nothing. The thread holds no lock while it
// sends. If the collector is slow, the queue fills, and further spans are dropped and counted.
#include "observe/span_exporter.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/executor.h"
#include "base/log.h"
#include "observe/spans.h"
#include "s3/http_url.h"

namespace penstock {
namespace {

// How long the destructor waits for the last batch.
constexpr Duration kLastBatchTime = std::chrono::seconds(1);
// After a batch with more bytes its memory is freed. A full one of common spans has 300 kB.
constexpr size_t kKeptBytesMax = 1 << 20;
constexpr HttpClientOptions kClientOptions = {.connect_timeout = std::chrono::seconds(5),
                                              .stall_timeout = std::chrono::seconds(10)};

Counter& DropCounter(MetricsRegistry& metrics, const char* reason) {
  return metrics.AddCounter("penstock_trace_spans_dropped_total",
                            "Spans of traces that were not sent, by reason.", {{"reason", reason}});
}

}  // namespace

Status ParseTraceEndpoint(std::string_view text, SpanExporterOptions& options) {
  const bool has_scheme = text.starts_with("http://") || text.starts_with("https://");
  const size_t host = has_scheme ? text.find("//") + 2 : 0;
  const size_t path = std::min(text.find('/', host), text.size());
  if (path < text.size() && text.substr(path) != "/") options.target = text.substr(path);
  const bool is_plain = options.target.find_first_of(" \t\r\n?#") == std::string::npos;
  if (has_scheme && is_plain && ParseEndpoint(text.substr(0, path), options.endpoint))
    return OkStatus();
  return InvalidArgument(
      "--trace_endpoint={}: it must be the address of an OTLP collector over HTTP, such as "
      "http://localhost:4318",
      text);
}

SpanExporter::SpanExporter(SpanExporterOptions options, MetricsRegistry& metrics)
    : options_(std::move(options)),
      sent_(
          metrics.AddCounter("penstock_trace_spans_sent_total", "Spans of traces that were sent.")),
      dropped_by_queue_(DropCounter(metrics, "queue_full")),
      dropped_by_export_(DropCounter(metrics, "export_failed")),
      client_(options_.endpoint, kClientOptions),
      thread_([this] { Run(); }) {}

SpanExporter::~SpanExporter() {
  const SteadyTime end = Clock::Real().Now() + kLastBatchTime;
  {
    MutexLock lock(mutex_);
    is_ending_ = true;
    changed_.NotifyAll();
    while (!has_ended_ && changed_.WaitUntil(mutex_, end)) {
    }
  }
  is_cancelled_ = true;
  thread_.join();
}

void SpanExporter::Add(std::string_view spans, size_t count) {
  MutexLock lock(mutex_);
  if (queue_.count + count > options_.queue_spans_max ||
      queue_.spans.size() + spans.size() > options_.queue_bytes_max)
    return dropped_by_queue_.Add(count);
  const bool was_empty = queue_.count == 0;
  const bool was_short = queue_.count < options_.batch_spans;
  queue_.spans += spans;
  queue_.count += count;
  if (was_empty || (was_short && queue_.count >= options_.batch_spans)) changed_.NotifyOne();
}

bool SpanExporter::Take(Batch& batch) {
  batch.count = 0;
  batch.spans.clear();
  if (batch.spans.capacity() > kKeptBytesMax) batch.spans.shrink_to_fit();
  MutexLock lock(mutex_);
  while (queue_.count == 0 && !is_ending_) changed_.Wait(mutex_);
  const SteadyTime until = Clock::Real().Now() + options_.interval;
  while (queue_.count < options_.batch_spans && !is_ending_ && changed_.WaitUntil(mutex_, until)) {
  }
  std::swap(queue_, batch);
  return batch.count > 0;
}

void SpanExporter::Run() {
  SetThreadName("traces");
  for (Batch batch; Take(batch);) Send(batch);
  MutexLock lock(mutex_);
  has_ended_ = true;
  changed_.NotifyAll();
}

void SpanExporter::Send(const Batch& batch) {
  const std::map<std::string, std::string> headers = {
      {"host", options_.endpoint.Authority()},
      {"content-type", "application/x-protobuf"},
      {"user-agent", "penstock/" + options_.version}};
  body_ = ExportRequestHead(batch.spans.size(), options_.service, options_.version);
  body_ += batch.spans;
  const StatusOr<HttpHead> answer = client_.Post(
      options_.target, headers, body_, [](const HttpHead&, std::string_view) { return OkStatus(); },
      is_cancelled_);
  if (body_.capacity() > kKeptBytesMax) std::string().swap(body_);
  const bool is_sent = answer.ok() && answer->status / 100 == 2;
  (is_sent ? sent_ : dropped_by_export_).Add(batch.count);
  if (is_sent == !has_failed_) return;
  has_failed_ = !is_sent;
  if (is_sent) {
    PENSTOCK_LOG(kInfo, "traces are sent to {} again", options_.endpoint.Authority());
  } else {
    PENSTOCK_LOG(kWarning, "traces cannot be sent to {}, and are dropped: {}",
                 options_.endpoint.Authority(),
                 answer.ok() ? fmt::format("it answers {}", answer->status)
                             : std::string(MessageOf(answer.status())));
  }
}

}  // namespace penstock
