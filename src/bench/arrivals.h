// SPDX-License-Identifier: Apache-2.0
// The moments at which requests of an open loop are due.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>

#include "base/clock.h"

namespace penstock::bench {

// A Poisson process: independent exponential gaps, as the requests of many clients that know
// nothing of each other have. The same seed gives the same moments on every machine, which
// std::exponential_distribution does not promise. One thread at a time.
class PoissonArrivals final {
 public:
  // REQUIRES: per_second > 0.
  PoissonArrivals(double per_second, uint64_t seed) : random_(seed), gap_ns_(1e9 / per_second) {}

  // The next moment, from the start of the process. They never go back.
  Duration Next() {
    // 53 random bits, in (0, 1]: the logarithm of 0 is no time.
    const double uniform = static_cast<double>((random_() >> 11) + 1) * 0x1p-53;
    at_ns_ -= gap_ns_ * std::log(uniform);
    return std::chrono::nanoseconds(static_cast<int64_t>(at_ns_));
  }

 private:
  std::mt19937_64 random_;
  const double gap_ns_;  // the mean
  double at_ns_ = 0;
};

}  // namespace penstock::bench
