// SPDX-License-Identifier: Apache-2.0
// TensorFlow Serving's two request metrics, for all front ends of its APIs.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"

namespace penstock::tfs {

// :tensorflow:serving:request_count {model_name, status}, and for requests that succeed
// :tensorflow:serving:request_latency {model_name, API, entrypoint} in microseconds. Thread-safe;
// finding a model's metrics takes no lock.
class RequestMetrics final {
 public:
  // `api` is for example "predict", `entrypoint` for example "REST". `metrics` outlives it.
  RequestMetrics(MetricsRegistry& metrics, std::string_view api, std::string_view entrypoint);
  ~RequestMetrics();
  RequestMetrics(const RequestMetrics&) = delete;
  RequestMetrics& operator=(const RequestMetrics&) = delete;

  // `model` must be a served model, because clients must not be able to create label values. Empty:
  // the request named no served model; the label is then kUnknownModel.
  void Record(std::string_view model, absl::StatusCode code, Duration latency);
  // :tensorflow:serving:request_example_counts and request_example_count_total {model}: the number
  // of Examples of a request that was decoded. `model` as for Record.
  void RecordExamples(std::string_view model, size_t examples);

  static constexpr std::string_view kUnknownModel = "(unknown)";

 private:
  struct Series;
  // The most models with their own series; further models share a series "other".
  static constexpr size_t kSlots = 1024;
  static constexpr size_t kModelsMax = kSlots / 2;

  // Finds the metrics of a model, and adds them at its first request.
  Series& Find(std::string_view model);
  Series& Insert(std::string_view model, size_t slot) EXCLUDES(mutex_);
  // The counter of answers with this code.
  Counter& FindCounter(Series& series, absl::StatusCode code);

  MetricsRegistry& metrics_;
  const std::string api_;
  const std::string entrypoint_;
  std::array<std::atomic<Series*>, kSlots> slots_{};  // open addressing; owns them
  std::unique_ptr<Series> other_;
  Mutex mutex_;  // held to add a model
  size_t models_ GUARDED_BY(mutex_) = 0;
};

}  // namespace penstock::tfs
