// SPDX-License-Identifier: Apache-2.0
// How it works. A metric holds no number itself. It holds the indices of cells (metric_cells.h), of
// which each thread has its own copy, so that counting needs no lock and shares no cache line. A
// counter has one cell; a histogram has one for each bucket and one for the sum. A scrape sums up
// the cells of all threads.
//
// A histogram finds its bucket from the exponent of the value. A double has its exponent in bits of
// its own, and a table gives the first bucket of each power of two, so that few comparisons are
// left. Each value counts in one bucket only; the running sums that Prometheus wants are made when
// the text is written.
//
// The registry's mutex guards only the list of metrics. Callers keep the reference that they get,
// and never search on the hot path.
//
// A series that ends (MetricSeries) leaves its metric behind for the next series of the same name.
// The cells cannot be set to zero, as each thread writes its own. So the metric notes what they
// hold when the new series begins, and shows the difference.
#include "base/metrics/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>

#include "base/check.h"
#include "base/metrics/cell_metrics.h"
#include "base/metrics/metric_cells.h"
#include "base/metrics/metric_text.h"
#include "base/mutex.h"

namespace penstock {
namespace {

using Counts = MetricCells<uint64_t>;
using Sums = MetricCells<double>;

// With the bucket above all bounds, a histogram must fit into MetricCells::kSharedCells.
constexpr size_t kBoundsMax = 200;

std::string OtherLabelText(MetricLabels labels) {
  for (auto& [name, value] : labels) value = "other";
  return LabelText(labels);
}

// The series of one name and kind. Guarded by the registry's mutex.
template <typename Metric>
struct SeriesList {
  struct Series {
    std::unique_ptr<Metric> metric;
    size_t owners = 0;
    bool is_alias = false;
  };

  // Returns the metric with these labels: the existing one, a new one, or, above series_max, the
  // shared one.
  template <typename Make>
  std::pair<Metric&, std::string> FindOrAdd(size_t series_max, const MetricLabels& labels,
                                            Make make);
  // One owner of the series has ended.
  void Release(const std::string& key);

  std::map<std::string, Series> shown;         // by the printed labels
  std::vector<std::unique_ptr<Metric>> ended;  // for later series
};

// All series of one name. Guarded by the registry's mutex.
struct Family {
  MetricKind kind = MetricKind::kCounter;
  std::string help;
  std::vector<double> bounds;
  // At most one of these three is used, depending on the kind.
  SeriesList<CellCounter> counters;
  SeriesList<AtomicGauge> gauges;
  SeriesList<CellHistogram> histograms;
  // The values of the histograms that have ended.
  uint64_t ended_count = 0;
  double ended_sum = 0;
  std::function<std::vector<MetricSample>()> collect;
  // Of AddTotals. Empty: not a total.
  std::string histogram;
  std::string less;
  bool is_sum = false;
};

bool IsMetricName(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
  };
  return !name.empty() && is_letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9');
  });
}

// The number of values of all histograms of a family, and their sum.
struct Total {
  uint64_t count = 0;
  double sum = 0;
};

Total TotalOf(const Family& family, std::span<const uint64_t> counts,
              std::span<const double> sums) {
  Total total = {family.ended_count, family.ended_sum};
  for (const auto& [labels, series] : family.histograms.shown) {
    total.sum += series.metric->SumIn(sums);
    for (size_t i = 0; i <= series.metric->bounds().size(); ++i)
      total.count += series.metric->BucketIn(counts, i);
  }
  return total;
}

std::string_view KindName(MetricKind kind) {
  constexpr std::array<std::string_view, 3> kNames = {"counter", "gauge", "histogram"};
  return kNames[static_cast<size_t>(kind)];
}

template <typename Metric>
template <typename Make>
std::pair<Metric&, std::string> SeriesList<Metric>::FindOrAdd(size_t series_max,
                                                              const MetricLabels& labels,
                                                              Make make) {
  std::string key = LabelText(labels);
  auto found = shown.find(key);
  // Existing series stay as they are; only a new one goes to the shared series, which does not
  // count against the limit.
  if (found == shown.end() && shown.size() >= series_max) {
    key = OtherLabelText(labels);
    found = shown.find(key);
  }
  if (found == shown.end()) found = shown.emplace(key, make()).first;
  ++found->second.owners;
  return {*found->second.metric, std::move(key)};
}

template <typename Metric>
void SeriesList<Metric>::Release(const std::string& key) {
  const auto found = shown.find(key);
  if (found == shown.end() || --found->second.owners > 0) return;
  // The cells of an alias belong to another series.
  if (!found->second.is_alias) ended.push_back(std::move(found->second.metric));
  shown.erase(found);
}

// Takes the metric of a series that has ended, or makes one.
template <typename Metric, typename Make>
typename SeriesList<Metric>::Series NewSeries(SeriesList<Metric>& list, Make make) {
  if (list.ended.empty()) return {make()};
  std::unique_ptr<Metric> metric = std::move(list.ended.back());
  list.ended.pop_back();
  metric->Restart();
  return {std::move(metric)};
}

}  // namespace

struct MetricsRegistry::Impl {
  explicit Impl(size_t max) : series_max(max) {}

  Family& FindFamily(std::string_view name, std::string_view help, MetricKind kind)
      REQUIRES(mutex) {
    PENSTOCK_CHECK(IsMetricName(name), "a metric's name has letters, digits, '_' and ':' only");
    const auto [found, is_new] = families.try_emplace(std::string(name));
    Family& family = found->second;
    if (is_new) {
      family.kind = kind;
      family.help = help;
    }
    PENSTOCK_CHECK(family.kind == kind, "two kinds of metric share a name");
    return family;
  }

  // These return the metric and the key of its series.
  std::pair<CellCounter&, std::string> AddCounter(std::string_view name, std::string_view help,
                                                  const MetricLabels& labels) EXCLUDES(mutex) {
    MutexLock lock(mutex);
    SeriesList<CellCounter>& list = FindFamily(name, help, MetricKind::kCounter).counters;
    return list.FindOrAdd(series_max, labels, [&] {
      return NewSeries(list, [&] { return std::make_unique<CellCounter>(*counts); });
    });
  }
  std::pair<AtomicGauge&, std::string> AddGauge(std::string_view name, std::string_view help,
                                                const MetricLabels& labels) EXCLUDES(mutex) {
    MutexLock lock(mutex);
    SeriesList<AtomicGauge>& list = FindFamily(name, help, MetricKind::kGauge).gauges;
    return list.FindOrAdd(series_max, labels, [&] {
      return NewSeries(list, [] { return std::make_unique<AtomicGauge>(); });
    });
  }
  std::pair<CellHistogram&, std::string> AddHistogram(std::string_view name, std::string_view help,
                                                      std::span<const double> bounds,
                                                      const MetricLabels& labels) EXCLUDES(mutex);
  std::string AddAlias(std::string_view name, std::string_view help, const MetricLabels& labels,
                       const Histogram& of) EXCLUDES(mutex);
  // One owner of the series has ended.
  void Release(const std::string& name, const std::string& key) EXCLUDES(mutex);

  const size_t series_max;
  const std::shared_ptr<Counts> counts = std::make_shared<Counts>();
  const std::shared_ptr<Sums> sums = std::make_shared<Sums>();
  mutable Mutex mutex;
  std::map<std::string, Family> families GUARDED_BY(mutex);
};

std::pair<CellHistogram&, std::string> MetricsRegistry::Impl::AddHistogram(
    std::string_view name, std::string_view help, std::span<const double> bounds,
    const MetricLabels& labels) {
  PENSTOCK_CHECK(bounds.size() <= kBoundsMax, "a histogram has too many buckets");
  PENSTOCK_CHECK(std::is_sorted(bounds.begin(), bounds.end()), "bucket bounds must ascend");
  MutexLock lock(mutex);
  Family& family = FindFamily(name, help, MetricKind::kHistogram);
  SeriesList<CellHistogram>& list = family.histograms;
  // The family keeps the bounds, and its histograms refer to them. They never change after the
  // first histogram.
  if (list.shown.empty() && list.ended.empty()) family.bounds.assign(bounds.begin(), bounds.end());
  PENSTOCK_CHECK(
      std::equal(bounds.begin(), bounds.end(), family.bounds.begin(), family.bounds.end()),
      "two histograms of a name have different buckets");
  return list.FindOrAdd(series_max, labels, [&] {
    return NewSeries(
        list, [&] { return std::make_unique<CellHistogram>(family.bounds, *counts, *sums); });
  });
}

std::string MetricsRegistry::Impl::AddAlias(std::string_view name, std::string_view help,
                                            const MetricLabels& labels, const Histogram& of) {
  const auto& histogram = static_cast<const CellHistogram&>(of);  // the only kind there is
  MutexLock lock(mutex);
  Family& family = FindFamily(name, help, MetricKind::kHistogram);
  return family.histograms
      .FindOrAdd(series_max, labels,
                 [&] {
                   SeriesList<CellHistogram>::Series series;
                   series.metric = std::make_unique<CellHistogram>(histogram);
                   series.is_alias = true;
                   return series;
                 })
      .second;
}

void MetricsRegistry::Impl::Release(const std::string& name, const std::string& key) {
  MutexLock lock(mutex);
  Family& family = families.at(name);
  family.counters.Release(key);
  family.gauges.Release(key);
  const auto found = family.histograms.shown.find(key);
  if (found == family.histograms.shown.end()) return;
  // A total is a counter, so it must not go back.
  if (found->second.owners == 1) {
    family.ended_count += found->second.metric->Count();
    family.ended_sum += found->second.metric->Sum();
  }
  family.histograms.Release(key);
}

MetricSeries::~MetricSeries() {
  for (const Added& added : added_) registry_.impl_->Release(added.name, added.key);
}

Counter& MetricSeries::AddCounter(std::string_view name, std::string_view help,
                                  const MetricLabels& labels) {
  auto [metric, key] = registry_.impl_->AddCounter(name, help, labels);
  added_.push_back({std::string(name), std::move(key)});
  return metric;
}

Gauge& MetricSeries::AddGauge(std::string_view name, std::string_view help,
                              const MetricLabels& labels) {
  auto [metric, key] = registry_.impl_->AddGauge(name, help, labels);
  added_.push_back({std::string(name), std::move(key)});
  return metric;
}

Histogram& MetricSeries::AddHistogram(std::string_view name, std::string_view help,
                                      std::span<const double> bounds, const MetricLabels& labels) {
  auto [metric, key] = registry_.impl_->AddHistogram(name, help, bounds, labels);
  added_.push_back({std::string(name), std::move(key)});
  return metric;
}

void MetricSeries::AddAlias(std::string_view name, std::string_view help,
                            const MetricLabels& labels, const Histogram& of) {
  added_.push_back({std::string(name), registry_.impl_->AddAlias(name, help, labels, of)});
}

MetricsRegistry::MetricsRegistry(size_t series_max) : impl_(std::make_unique<Impl>(series_max)) {}
MetricsRegistry::~MetricsRegistry() = default;

Counter& MetricsRegistry::AddCounter(std::string_view name, std::string_view help,
                                     const MetricLabels& labels) {
  return impl_->AddCounter(name, help, labels).first;
}

Gauge& MetricsRegistry::AddGauge(std::string_view name, std::string_view help,
                                 const MetricLabels& labels) {
  return impl_->AddGauge(name, help, labels).first;
}

Histogram& MetricsRegistry::AddHistogram(std::string_view name, std::string_view help,
                                         std::span<const double> bounds,
                                         const MetricLabels& labels) {
  return impl_->AddHistogram(name, help, bounds, labels).first;
}

void MetricsRegistry::AddAlias(std::string_view name, std::string_view help,
                               const MetricLabels& labels, const Histogram& of) {
  impl_->AddAlias(name, help, labels, of);
}

void MetricsRegistry::AddTotals(std::string_view histogram, std::string_view less,
                                std::string_view count_name, std::string_view count_help,
                                std::string_view sum_name, std::string_view sum_help) {
  MutexLock lock(impl_->mutex);
  Family& count = impl_->FindFamily(count_name, count_help, MetricKind::kCounter);
  Family& sum = impl_->FindFamily(sum_name, sum_help, MetricKind::kCounter);
  for (Family* const family : {&count, &sum}) {
    family->histogram = histogram;
    family->less = less;
  }
  sum.is_sum = true;
}

void MetricsRegistry::AddCollector(std::string_view name, std::string_view help, MetricKind kind,
                                   std::function<std::vector<MetricSample>()> collect) {
  PENSTOCK_CHECK(kind != MetricKind::kHistogram, "a collector gives single numbers");
  MutexLock lock(impl_->mutex);
  impl_->FindFamily(name, help, kind).collect = std::move(collect);
}

std::optional<int64_t> MetricsRegistry::FirstValue(std::string_view name) const {
  MutexLock lock(impl_->mutex);
  const auto found = impl_->families.find(std::string(name));
  if (found == impl_->families.end()) return std::nullopt;
  const Family& family = found->second;
  if (const auto& counters = family.counters.shown; !counters.empty())
    return static_cast<int64_t>(counters.begin()->second.metric->Value());
  if (const auto& gauges = family.gauges.shown; !gauges.empty())
    return static_cast<int64_t>(gauges.begin()->second.metric->Value());
  if (!family.collect) return std::nullopt;
  const std::vector<MetricSample> samples = family.collect();
  if (samples.empty()) return std::nullopt;
  return static_cast<int64_t>(samples.front().value);
}

std::string MetricsRegistry::Text() const {
  MutexLock lock(impl_->mutex);
  // One pass over the threads for all metrics, instead of one for each.
  const std::vector<uint64_t> counts = impl_->counts->Totals();
  const std::vector<double> sums = impl_->sums->Totals();
  std::string text;
  for (const auto& [name, family] : impl_->families) {
    text += "# HELP " + name + ' ';
    AppendEscaped(text, family.help, false);
    fmt::format_to(std::back_inserter(text), "\n# TYPE {} {}\n", name, KindName(family.kind));
    for (const auto& [labels, series] : family.counters.shown)
      AppendSample(text, name, "", labels, std::to_string(series.metric->In(counts)));
    for (const auto& [labels, series] : family.gauges.shown)
      AppendSample(text, name, "", labels, NumberText(series.metric->Value()));
    for (const auto& [labels, series] : family.histograms.shown)
      AppendHistogram(text, name, labels, *series.metric, counts, sums);
    if (const auto of = impl_->families.find(family.histogram); of != impl_->families.end()) {
      Total total = TotalOf(of->second, counts, sums);
      if (const auto less = impl_->families.find(family.less); less != impl_->families.end()) {
        const Total minus = TotalOf(less->second, counts, sums);
        total.count -= std::min(minus.count, total.count);
        total.sum -= minus.sum;
      }
      AppendSample(text, name, "", "",
                   family.is_sum ? NumberText(total.sum) : std::to_string(total.count));
    }
    if (!family.collect) continue;
    std::vector<MetricSample> samples = family.collect();
    if (samples.size() > impl_->series_max) samples.resize(impl_->series_max);
    for (const MetricSample& sample : samples)
      AppendSample(text, name, "", LabelText(sample.labels), NumberText(sample.value));
  }
  return text;
}

std::span<const double> LatencyBucketsUs() {
  static const std::array<double, 33> bounds = [] {
    std::array<double, 33> made{};
    double bound = 10;
    for (double& each : made) {
      each = bound;
      bound *= 1.8;
    }
    return made;
  }();
  return bounds;
}

}  // namespace penstock
