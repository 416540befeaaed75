// SPDX-License-Identifier: Apache-2.0
// How often a request may be sent twice, and when it is slow.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/clock.h"

namespace penstock::remote {

// A share of the requests, plus a few at once: so second tries cannot multiply the load on targets
// that fail because of their load. Owned by loop.
class ShareBudget final {
 public:
  explicit ShareBudget(int64_t percent)
      : share_(static_cast<double>(percent) / 100), tokens_(percent > 0 ? kAtOnce : 0) {}

  void OnRequest() { tokens_ = std::min(tokens_ + share_, double{kAtOnce}); }
  [[nodiscard]] bool Take() {
    if (share_ == 0 || tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  static constexpr int kAtOnce = 20;

  const double share_;
  double tokens_;
};

// The time within which 95 of 100 of the last answers came. Owned by loop.
class LatencyWindow final {
 public:
  void Add(Duration latency) {
    window_[next_++ % window_.size()] = latency;
    if (next_ % kStep == 0) Compute();
  }
  // The time after which a request is slow. As long as little is known, it is kFirstDelay.
  Duration SlowAfter() const { return slow_after_; }

  static constexpr Duration kFirstDelay = std::chrono::milliseconds(50);

 private:
  static constexpr size_t kStep = 32;
  static constexpr Duration kDelayMin = std::chrono::milliseconds(1);

  void Compute() {
    std::array<Duration, 128> sorted = window_;
    const size_t count = std::min(next_, window_.size());
    const size_t at = count * 95 / 100;
    std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(at),
                     sorted.begin() + static_cast<ptrdiff_t>(count));
    slow_after_ = std::max(sorted[at], kDelayMin);
  }

  std::array<Duration, 128> window_ = {};
  size_t next_ = 0;
  Duration slow_after_ = kFirstDelay;
};

}  // namespace penstock::remote
