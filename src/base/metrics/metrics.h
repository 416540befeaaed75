// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms, and their Prometheus text. They cost the hot path no shared
// cache line. The app creates the registry and passes it down; there is no global one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/counter.h"
#include "base/metrics/metric.h"

namespace penstock {

// The types of the Prometheus text format that the server uses.
enum class MetricKind { kCounter, kGauge, kHistogram };

// One value of a family that is computed for each scrape.
struct MetricSample {
  MetricLabels labels;
  double value = 0;
};

class MetricSeries;

// All metrics of one server. Thread-safe. Metrics live as long as the registry, and those that a
// MetricSeries adds are shown as long as it. A name has one kind and one help text; a second call
// with the same name and labels returns the same metric. A name has at most `series_max` label
// sets. Further ones share a series whose label values are all "other", so that clients cannot make
// the memory grow.
class MetricsRegistry {
 public:
  explicit MetricsRegistry(size_t series_max = 1000);
  ~MetricsRegistry();

  // These find or make a metric. They take a lock and search, so keep the reference for later use.
  Counter& AddCounter(std::string_view name, std::string_view help,
                      const MetricLabels& labels = {});
  Gauge& AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  // `bounds` are the ascending upper limits of the buckets, without +Inf; at most 200. All series
  // of a name have the same bounds.
  Histogram& AddHistogram(std::string_view name, std::string_view help,
                          std::span<const double> bounds, const MetricLabels& labels = {});

  // Shows `of`, a histogram of this registry, also under another name.
  void AddAlias(std::string_view name, std::string_view help, const MetricLabels& labels,
                const Histogram& of);

  // Adds counters without labels: the number and the sum of all values in the histograms called
  // `histogram`, less those in the ones called `less`. They are computed for each Text(), and cost
  // nothing before.
  void AddTotals(std::string_view histogram, std::string_view less, std::string_view count_name,
                 std::string_view count_help, std::string_view sum_name, std::string_view sum_help);

  // Adds a counter or gauge whose samples `collect` computes for each Text(), on its thread. The
  // objects that it uses must outlive the last call of Text(). It must not call the registry. At
  // most `series_max` samples are shown.
  void AddCollector(std::string_view name, std::string_view help, MetricKind kind,
                    std::function<std::vector<MetricSample>()> collect);

  // The first series of the counter or gauge `name`, in the order in which they are printed; of a
  // gauge without a fraction. nullopt: there is none.
  std::optional<int64_t> FirstValue(std::string_view name) const;

  // Prometheus text exposition format 0.0.4, families sorted by name.
  std::string Text() const;

 private:
  friend class MetricSeries;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The metrics of something that ends before the registry does, such as a version of a model. When
// it ends, its series are no longer shown, unless another one has them too, and their memory is
// used again. So a server that loads a version each hour does not run out of series. A count that
// comes later is harmless, but may go to a series that begins then. One thread at a time.
class MetricSeries {
 public:
  // `registry` must outlive it.
  explicit MetricSeries(MetricsRegistry& registry) : registry_(registry) {}
  ~MetricSeries();
  MetricSeries(const MetricSeries&) = delete;
  MetricSeries& operator=(const MetricSeries&) = delete;

  // As those of MetricsRegistry.
  Counter& AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels);
  Gauge& AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels);
  Histogram& AddHistogram(std::string_view name, std::string_view help,
                          std::span<const double> bounds, const MetricLabels& labels);
  void AddAlias(std::string_view name, std::string_view help, const MetricLabels& labels,
                const Histogram& of);

 private:
  struct Added {
    std::string name;
    std::string key;  // the printed labels
  };

  MetricsRegistry& registry_;
  std::vector<Added> added_;
};

// TensorFlow Serving's latency buckets: 10 * 1.8^i microseconds, 33 of them.
std::span<const double> LatencyBucketsUs();

}  // namespace penstock
