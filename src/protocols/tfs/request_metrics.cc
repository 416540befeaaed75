// SPDX-License-Identifier: Apache-2.0
// Every request is recorded, so this must not take a lock that all threads share. The table has a
// fixed size and only grows: a slot that was filled never changes again, and readers need no more
// than an atomic load. Linear probing finds a model's slot.
#include "protocols/tfs/request_metrics.h"

#include <chrono>
#include <functional>

#include "base/status.h"

namespace penstock::tfs {
namespace {

constexpr size_t kStatusCodes = 17;

// TensorFlow Serving's buckets.
constexpr std::array<double, 15> kExampleBuckets = {1,   2,   4,    8,    16,   32,   64,   128,
                                                    256, 512, 1024, 2048, 4096, 8192, 16384};

}  // namespace

// The metrics of one model. Thread-safe.
struct RequestMetrics::Series {
  std::string model;
  Histogram* latency = nullptr;
  std::atomic<Histogram*> examples{nullptr};  // created on first use, and the next one before it
  std::atomic<Counter*> examples_total{nullptr};
  std::array<std::atomic<Counter*>, kStatusCodes> counts{};  // created on first use
};

RequestMetrics::RequestMetrics(MetricsRegistry& metrics, std::string_view api,
                               std::string_view entrypoint)
    : metrics_(metrics), api_(api), entrypoint_(entrypoint), other_(std::make_unique<Series>()) {
  other_->model = "other";
}

RequestMetrics::~RequestMetrics() {
  // Relaxed is enough: no other thread uses the object any more.
  for (const auto& slot : slots_) delete slot.load(std::memory_order_relaxed);
}

RequestMetrics::Series& RequestMetrics::Find(std::string_view model) {
  if (model.empty()) model = kUnknownModel;
  const size_t first = std::hash<std::string_view>()(model) % kSlots;
  // Ends, because half of the slots stay empty.
  for (size_t slot = first;; slot = (slot + 1) % kSlots) {
    // Acquire pairs with the release in Insert: a thread that sees the pointer sees the whole
    // series.
    Series* const series = slots_[slot].load(std::memory_order_acquire);
    if (series == nullptr) return Insert(model, slot);
    if (series->model == model) return *series;
  }
}

RequestMetrics::Series& RequestMetrics::Insert(std::string_view model, size_t slot) {
  // The caller found the slot empty without the lock, and another thread may have filled it since.
  // So search on from there.
  const MutexLock lock(mutex_);
  for (;; slot = (slot + 1) % kSlots) {
    Series* const series = slots_[slot].load(std::memory_order_acquire);
    if (series == nullptr) break;
    if (series->model == model) return *series;  // another thread has added it
  }
  // A server may get new models as long as it runs. Without a limit the table would fill up, and
  // Find would search forever.
  Series* added = other_.get();
  if (models_ < kModelsMax) {
    added = new Series;
    added->model = model;
  }
  // The shared series gets its histogram only when a model needs it. So most servers show no empty
  // series "other".
  if (added->latency == nullptr) {
    added->latency = &metrics_.AddHistogram(
        ":tensorflow:serving:request_latency",
        "Time from a request's arrival to its answer, of successful requests, in microseconds",
        LatencyBucketsUs(),
        {{"model_name", added->model}, {"API", api_}, {"entrypoint", entrypoint_}});
  }
  // A model beyond the limit gets no slot, so each of its requests takes the lock. That is slow,
  // but correct.
  if (models_ < kModelsMax) {
    ++models_;
    slots_[slot].store(added, std::memory_order_release);
  }
  return *added;
}

Counter& RequestMetrics::FindCounter(Series& series, absl::StatusCode code) {
  std::atomic<Counter*>& counter = series.counts[static_cast<size_t>(code) % kStatusCodes];
  if (Counter* const found = counter.load(std::memory_order_acquire)) return *found;
  // Two threads may do this at once: the registry returns the same counter to both.
  Counter& added =
      metrics_.AddCounter(":tensorflow:serving:request_count", "Requests by model and status",
                          {{"model_name", series.model}, {"status", StatusCodeName(code)}});
  counter.store(&added, std::memory_order_release);
  return added;
}

void RequestMetrics::RecordExamples(std::string_view model, size_t examples) {
  Series& series = Find(model);
  if (series.examples.load(std::memory_order_acquire) == nullptr) {
    // Two threads may do this at once: the registry returns the same metrics to both.
    const MetricLabels labels = {{"model", series.model}};
    series.examples_total.store(
        &metrics_.AddCounter(":tensorflow:serving:request_example_count_total",
                             "Examples of requests, by model", labels),
        std::memory_order_relaxed);
    series.examples.store(&metrics_.AddHistogram(":tensorflow:serving:request_example_counts",
                                                 "Number of Examples of a request, by model",
                                                 kExampleBuckets, labels),
                          std::memory_order_release);
  }
  series.examples.load(std::memory_order_relaxed)->Record(static_cast<double>(examples));
  series.examples_total.load(std::memory_order_relaxed)->Add(examples);
}

void RequestMetrics::Record(std::string_view model, absl::StatusCode code, Duration latency) {
  Series& series = Find(model);
  FindCounter(series, code).Add();
  // As in TensorFlow Serving. Errors are often answered at once, and would make the latency look
  // better than it is.
  if (code == absl::StatusCode::kOk) {
    series.latency->Record(std::chrono::duration<double, std::micro>(latency).count());
  }
}

}  // namespace penstock::tfs
