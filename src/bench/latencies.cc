// SPDX-License-Identifier: Apache-2.0
#include "bench/latencies.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace penstock::bench {

double Latencies::Percentile(double percent) {
  if (us_.empty()) return 0;
  if (!is_sorted_) std::sort(us_.begin(), us_.end());
  is_sorted_ = true;
  // 99.9 % of 1000 is 999.0000000000001 in binary: without the small number the rank would be 1000.
  const double rank = std::ceil(percent / 100 * static_cast<double>(us_.size()) - 1e-6);
  const auto index = static_cast<size_t>(std::max(rank, 1.0)) - 1;
  return static_cast<double>(us_[std::min(index, us_.size() - 1)]);
}

double Latencies::Mean() const {
  if (us_.empty()) return 0;
  return std::accumulate(us_.begin(), us_.end(), 0.0) / static_cast<double>(us_.size());
}

std::span<const double> PlotPercents() {
  static constexpr double kPercents[] = {
      0,  10, 20,   30, 40,   50,   60,   70,   75,    80,   85,    90,    92.5,  95,    96,
      97, 98, 98.5, 99, 99.3, 99.5, 99.7, 99.8, 99.85, 99.9, 99.93, 99.95, 99.97, 99.98, 99.99};
  return kPercents;
}

}  // namespace penstock::bench
