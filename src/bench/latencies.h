// SPDX-License-Identifier: Apache-2.0
// The times of requests, and their percentiles.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/clock.h"

namespace penstock::bench {

// Every time, in microseconds: exact, and 4 bytes for each. One thread at a time.
class Latencies final {
 public:
  void Add(Duration time) {
    us_.push_back(std::chrono::duration<float, std::micro>(time).count());
    is_sorted_ = false;
  }
  void Add(const Latencies& others) {
    us_.insert(us_.end(), others.us_.begin(), others.us_.end());
    is_sorted_ = false;
  }
  size_t count() const { return us_.size(); }
  // The smallest time that `percent` of all do not exceed (nearest rank), in us; 0 if there is
  // none. 100 is the longest. Sorts, once.
  double Percentile(double percent);
  double Mean() const;

 private:
  std::vector<float> us_;
  bool is_sorted_ = true;
};

// The percentiles of the table.
inline constexpr double kTablePercents[] = {50, 90, 99, 99.9, 100};
// Those of the plot: dense where the tail is.
std::span<const double> PlotPercents();

}  // namespace penstock::bench
