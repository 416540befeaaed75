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
#include "base/metrics/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <iterator>
#include <map>

#include "base/check.h"
#include "base/metrics/metric_cells.h"
#include "base/mutex.h"

namespace penstock {
namespace {

using Counts = MetricCells<uint64_t>;
using Sums = MetricCells<double>;

// With the bucket above all bounds, a histogram must fit into MetricCells::kSharedCells.
constexpr size_t kBoundsMax = 200;

// Counts in a cell of each thread, so that threads share no cache line. Thread-safe.
class CellCounter final : public Counter {
 public:
  explicit CellCounter(Counts& counts) : counts_(counts), cell_(counts.Allocate(1)) {}
  void Add(uint64_t count) override { counts_.Add(cell_, count); }
  uint64_t Value() const override { return counts_.Total(cell_); }
  size_t cell() const { return cell_; }

 private:
  Counts& counts_;
  const size_t cell_;
};

// A number that all threads set. Thread-safe.
class AtomicGauge final : public Gauge {
 public:
  void Set(double value) override { value_.store(value, std::memory_order_relaxed); }
  void Add(double change) override { value_.fetch_add(change, std::memory_order_relaxed); }
  double Value() const override { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Counts values by size, in cells of each thread. Thread-safe.
class CellHistogram final : public Histogram {
 public:
  // Has one cell for each bound, and one for values above all bounds. `bounds` outlives this.
  CellHistogram(std::span<const double> bounds, Counts& counts, Sums& sums)
      : bounds_(bounds),
        counts_(counts),
        sums_(sums),
        first_cell_(counts.Allocate(bounds.size() + 1)),
        sum_cell_(sums.Allocate(1)) {
    for (size_t i = 0; i < first_bounds_.size(); ++i) {
      const auto bound =
          std::lower_bound(bounds.begin(), bounds.end(), std::ldexp(1.0, static_cast<int>(i)));
      first_bounds_[i] = static_cast<uint8_t>(bound - bounds.begin());
    }
  }
  // Shows the cells of `other`.
  CellHistogram(const CellHistogram& other) = default;

  void Record(double value) override {
    size_t bucket = 0;
    if (value >= 1) {
      const uint64_t exponent = (std::bit_cast<uint64_t>(value) >> 52) - 1023;  // of 2
      bucket = first_bounds_[std::min<uint64_t>(exponent, first_bounds_.size() - 1)];
    }
    // A bucket takes values up to its bound. NaN compares false and goes to the last bucket.
    while (bucket < bounds_.size() && !(value <= bounds_[bucket])) ++bucket;
    counts_.Add(first_cell_ + bucket, 1);
    sums_.Add(sum_cell_, value);
  }
  uint64_t Count() const override {
    uint64_t count = 0;
    for (size_t i = 0; i <= bounds_.size(); ++i) count += counts_.Total(first_cell_ + i);
    return count;
  }

  std::span<const double> bounds() const { return bounds_; }
  size_t first_cell() const { return first_cell_; }
  size_t sum_cell() const { return sum_cell_; }

 private:
  const std::span<const double> bounds_;
  Counts& counts_;
  Sums& sums_;
  const size_t first_cell_;
  const size_t sum_cell_;
  // The first bound that is not below 2^i: the search begins there.
  std::array<uint8_t, 40> first_bounds_;
};

// All series of one name. Guarded by the registry's mutex.
struct Family {
  MetricKind kind = MetricKind::kCounter;
  std::string help;
  std::vector<double> bounds;
  // At most one of these three maps is used, depending on the kind. The key is the printed labels.
  std::map<std::string, std::unique_ptr<CellCounter>> counters;
  std::map<std::string, std::unique_ptr<AtomicGauge>> gauges;
  std::map<std::string, std::unique_ptr<CellHistogram>> histograms;
  std::function<std::vector<MetricSample>()> collect;
  // Of AddTotals. Empty: not a total.
  std::string histogram;
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

void AppendEscaped(std::string& to, std::string_view text, bool escape_quotes) {
  for (const char c : text) {
    if (c == '\\') {
      to += "\\\\";
    } else if (c == '\n') {
      to += "\\n";
    } else if (c == '"' && escape_quotes) {
      to += "\\\"";
    } else {
      to += c;
    }
  }
}

// Formats labels as `a="1",b="2"`.
std::string LabelText(const MetricLabels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    if (!text.empty()) text += ',';
    text += name;
    text += "=\"";
    AppendEscaped(text, value, true);
    text += '"';
  }
  return text;
}

std::string OtherLabelText(MetricLabels labels) {
  for (auto& [name, value] : labels) value = "other";
  return LabelText(labels);
}

std::string NumberText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

// The number of values of all histograms of a family, or their sum.
std::string TotalText(const Family& family, bool is_sum, std::span<const uint64_t> counts,
                      std::span<const double> sums) {
  double sum = 0;
  uint64_t count = 0;
  for (const auto& [labels, histogram] : family.histograms) {
    sum += sums[histogram->sum_cell()];
    for (size_t i = 0; i <= histogram->bounds().size(); ++i)
      count += counts[histogram->first_cell() + i];
  }
  return is_sum ? NumberText(sum) : std::to_string(count);
}

void AppendSample(std::string& to, std::string_view name, std::string_view suffix,
                  std::string_view labels, std::string_view value) {
  to += name;
  to += suffix;
  if (!labels.empty()) fmt::format_to(std::back_inserter(to), "{{{}}}", labels);
  fmt::format_to(std::back_inserter(to), " {}\n", value);
}

void AppendHistogram(std::string& to, std::string_view name, const std::string& labels,
                     const CellHistogram& histogram, std::span<const uint64_t> counts,
                     std::span<const double> sums) {
  const std::string before = labels.empty() ? "" : labels + ",";
  uint64_t cumulative = 0;
  for (size_t i = 0; i <= histogram.bounds().size(); ++i) {
    // A bucket of Prometheus counts all values up to its bound. The cells count each value once, so
    // that Record adds to one cell only.
    cumulative += counts[histogram.first_cell() + i];
    const std::string bound =
        i < histogram.bounds().size() ? NumberText(histogram.bounds()[i]) : "+Inf";
    AppendSample(to, name, "_bucket", fmt::format("{}le=\"{}\"", before, bound),
                 std::to_string(cumulative));
  }
  AppendSample(to, name, "_sum", labels, NumberText(sums[histogram.sum_cell()]));
  AppendSample(to, name, "_count", labels, std::to_string(cumulative));
}

std::string_view KindName(MetricKind kind) {
  constexpr std::array<std::string_view, 3> kNames = {"counter", "gauge", "histogram"};
  return kNames[static_cast<size_t>(kind)];
}

// Returns the metric with these labels: the existing one, a new one, or, above series_max, the
// shared one.
template <typename Metric, typename Make>
Metric& FindOrAdd(std::map<std::string, std::unique_ptr<Metric>>& series, size_t series_max,
                  const MetricLabels& labels, Make make) {
  std::string key = LabelText(labels);
  auto found = series.find(key);
  // Existing series stay as they are; only a new one goes to the shared series, which does not
  // count against the limit.
  if (found == series.end() && series.size() >= series_max) {
    key = OtherLabelText(labels);
    found = series.find(key);
  }
  if (found == series.end()) found = series.emplace(std::move(key), make()).first;
  return *found->second;
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

  const size_t series_max;
  const std::shared_ptr<Counts> counts = std::make_shared<Counts>();
  const std::shared_ptr<Sums> sums = std::make_shared<Sums>();
  mutable Mutex mutex;
  std::map<std::string, Family> families GUARDED_BY(mutex);
};

MetricsRegistry::MetricsRegistry(size_t series_max) : impl_(std::make_unique<Impl>(series_max)) {}
MetricsRegistry::~MetricsRegistry() = default;

Counter& MetricsRegistry::AddCounter(std::string_view name, std::string_view help,
                                     const MetricLabels& labels) {
  MutexLock lock(impl_->mutex);
  Family& family = impl_->FindFamily(name, help, MetricKind::kCounter);
  return FindOrAdd(family.counters, impl_->series_max, labels,
                   [&] { return std::make_unique<CellCounter>(*impl_->counts); });
}

Gauge& MetricsRegistry::AddGauge(std::string_view name, std::string_view help,
                                 const MetricLabels& labels) {
  MutexLock lock(impl_->mutex);
  Family& family = impl_->FindFamily(name, help, MetricKind::kGauge);
  return FindOrAdd(family.gauges, impl_->series_max, labels,
                   [] { return std::make_unique<AtomicGauge>(); });
}

Histogram& MetricsRegistry::AddHistogram(std::string_view name, std::string_view help,
                                         std::span<const double> bounds,
                                         const MetricLabels& labels) {
  PENSTOCK_CHECK(bounds.size() <= kBoundsMax, "a histogram has too many buckets");
  PENSTOCK_CHECK(std::is_sorted(bounds.begin(), bounds.end()), "bucket bounds must ascend");
  MutexLock lock(impl_->mutex);
  Family& family = impl_->FindFamily(name, help, MetricKind::kHistogram);
  // The family keeps the bounds, and its histograms refer to them. They never change after the
  // first histogram.
  if (family.histograms.empty()) family.bounds.assign(bounds.begin(), bounds.end());
  PENSTOCK_CHECK(
      std::equal(bounds.begin(), bounds.end(), family.bounds.begin(), family.bounds.end()),
      "two histograms of a name have different buckets");
  return FindOrAdd(family.histograms, impl_->series_max, labels, [&] {
    return std::make_unique<CellHistogram>(family.bounds, *impl_->counts, *impl_->sums);
  });
}

void MetricsRegistry::AddAlias(std::string_view name, std::string_view help,
                               const MetricLabels& labels, const Histogram& of) {
  const auto& histogram = static_cast<const CellHistogram&>(of);  // the only kind there is
  MutexLock lock(impl_->mutex);
  Family& family = impl_->FindFamily(name, help, MetricKind::kHistogram);
  FindOrAdd(family.histograms, impl_->series_max, labels,
            [&] { return std::make_unique<CellHistogram>(histogram); });
}

void MetricsRegistry::AddTotals(std::string_view histogram, std::string_view count_name,
                                std::string_view count_help, std::string_view sum_name,
                                std::string_view sum_help) {
  MutexLock lock(impl_->mutex);
  impl_->FindFamily(count_name, count_help, MetricKind::kCounter).histogram = histogram;
  Family& sum = impl_->FindFamily(sum_name, sum_help, MetricKind::kCounter);
  sum.histogram = histogram;
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
  if (!family.counters.empty())
    return static_cast<int64_t>(family.counters.begin()->second->Value());
  if (!family.gauges.empty()) return static_cast<int64_t>(family.gauges.begin()->second->Value());
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
    for (const auto& [labels, counter] : family.counters)
      AppendSample(text, name, "", labels, std::to_string(counts[counter->cell()]));
    for (const auto& [labels, gauge] : family.gauges)
      AppendSample(text, name, "", labels, NumberText(gauge->Value()));
    for (const auto& [labels, histogram] : family.histograms)
      AppendHistogram(text, name, labels, *histogram, counts, sums);
    if (!family.histogram.empty()) {
      const auto found = impl_->families.find(family.histogram);
      if (found != impl_->families.end())
        AppendSample(text, name, "", "", TotalText(found->second, family.is_sum, counts, sums));
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
