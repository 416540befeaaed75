// SPDX-License-Identifier: Apache-2.0
// The kinds of metrics. Only the registry uses them. metrics.cc says how they work.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/counter.h"
#include "base/metrics/metric.h"
#include "base/metrics/metric_cells.h"

namespace penstock {

// Counts in a cell of each thread, so that threads share no cache line. Thread-safe.
class CellCounter final : public Counter {
 public:
  explicit CellCounter(MetricCells<uint64_t>& counts)
      : counts_(counts), cell_(counts.Allocate(1)) {}
  void Add(uint64_t count) override { counts_.Add(cell_, count); }
  uint64_t Value() const override { return counts_.Total(cell_) - start_; }
  // The value, of the totals of all cells.
  uint64_t In(std::span<const uint64_t> totals) const { return totals[cell_] - start_; }
  void Restart() { start_ = counts_.Total(cell_); }

 private:
  MetricCells<uint64_t>& counts_;
  const size_t cell_;
  uint64_t start_ = 0;  // what the cell held when the series began
};

// A number that all threads set. Thread-safe.
class AtomicGauge final : public Gauge {
 public:
  void Set(double value) override { value_.store(value, std::memory_order_relaxed); }
  void Add(double change) override { value_.fetch_add(change, std::memory_order_relaxed); }
  double Value() const override { return value_.load(std::memory_order_relaxed); }
  void Restart() { Set(0); }

 private:
  std::atomic<double> value_{0};
};

// Counts values by size, in cells of each thread. Thread-safe.
class CellHistogram final : public Histogram {
 public:
  // Has one cell for each bound, and one for values above all bounds. `bounds` outlives this.
  CellHistogram(std::span<const double> bounds, MetricCells<uint64_t>& counts,
                MetricCells<double>& sums)
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

  void Restart() {
    starts_.resize(bounds_.size() + 1);
    for (size_t i = 0; i < starts_.size(); ++i) starts_[i] = counts_.Total(first_cell_ + i);
    sum_start_ = sums_.Total(sum_cell_);
  }

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
    for (size_t i = 0; i <= bounds_.size(); ++i)
      count += counts_.Total(first_cell_ + i) - StartOf(i);
    return count;
  }

  double Sum() const { return sums_.Total(sum_cell_) - sum_start_; }

  std::span<const double> bounds() const { return bounds_; }
  // The values in a bucket, and the sum of all, of the totals of all cells.
  uint64_t BucketIn(std::span<const uint64_t> totals, size_t bucket) const {
    return totals[first_cell_ + bucket] - StartOf(bucket);
  }
  double SumIn(std::span<const double> totals) const { return totals[sum_cell_] - sum_start_; }

 private:
  uint64_t StartOf(size_t bucket) const { return starts_.empty() ? 0 : starts_[bucket]; }

  const std::span<const double> bounds_;
  MetricCells<uint64_t>& counts_;
  MetricCells<double>& sums_;
  const size_t first_cell_;
  const size_t sum_cell_;
  // The first bound that is not below 2^i: the search begins there.
  std::array<uint8_t, 40> first_bounds_;
  // What the cells held when the series began. Empty: zeros.
  std::vector<uint64_t> starts_;
  double sum_start_ = 0;
};

}  // namespace penstock
