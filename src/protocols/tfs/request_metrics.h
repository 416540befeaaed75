// SPDX-License-Identifier: Apache-2.0
// TensorFlow Serving's two metrics of requests, for all front ends of its family.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"

namespace penstock::tfs {

// :tensorflow:serving:request_count {model_name, status} and, of those that succeed,
// :tensorflow:serving:request_latency {model_name, API, entrypoint} in microseconds.
// Thread-safe; a model's metrics are looked up without a lock.
class RequestMetrics final {
 public:
  // `api` as "predict", `entrypoint` as "REST". `metrics` outlives it.
  RequestMetrics(MetricsRegistry& metrics, std::string_view api, std::string_view entrypoint);
  ~RequestMetrics();
  RequestMetrics(const RequestMetrics&) = delete;
  RequestMetrics& operator=(const RequestMetrics&) = delete;

  // `model` must be one that is served: clients must not be able to make up names. Empty: the
  // request named none that is; the label is then kUnknownModel.
  void Record(std::string_view model, absl::StatusCode code, Duration latency);

  static constexpr std::string_view kUnknownModel = "(unknown)";

 private:
  struct Series;
  // Further models share a series called "other".
  static constexpr size_t kSlots = 1024;
  static constexpr size_t kModelsMax = kSlots / 2;

  Series& Find(std::string_view model);
  Series& Insert(std::string_view model, size_t slot) EXCLUDES(mutex_);
  Counter& FindCounter(Series& series, absl::StatusCode code);

  MetricsRegistry& metrics_;
  const std::string api_;
  const std::string entrypoint_;
  std::array<std::atomic<Series*>, kSlots> slots_{};  // open addressing; owned
  std::unique_ptr<Series> other_;
  Mutex mutex_;  // held to add a model
  size_t models_ GUARDED_BY(mutex_) = 0;
};

}  // namespace penstock::tfs
