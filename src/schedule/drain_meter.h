// SPDX-License-Identifier: Apache-2.0
// Measures how fast a queue drains, which tells a refused client when to try again.
#pragma once

#include <algorithm>
#include <cstdint>

namespace penstock::schedule {

// An exponential moving average (each new value counts an eighth) that starts with its first value.
// 0: there is none yet.
inline void UpdateAverage(double& average, double value) {
  constexpr double kNewShare = 1.0 / 8;
  average = average == 0 ? value : average + (value - average) * kNewShare;
}

// The mean time between two starts while items wait. Times are in nanoseconds. One thread at a
// time.
class DrainMeter final {
 public:
  // An item left the queue and started. `items_left`: others wait still.
  void OnStart(int64_t now, bool items_left) {
    // Only then the time until the next start is the queue's, and not that of the clients.
    if (was_waiting_)
      UpdateAverage(interval_, static_cast<double>(std::max<int64_t>(now - last_start_, 1)) /
                                   static_cast<double>(started_));
    last_start_ = now;
    started_ = 1;
    was_waiting_ = items_left;
  }
  // One more item started together with the last one.
  void OnStartTogether(bool items_left) {
    ++started_;
    was_waiting_ = items_left;
  }
  // The time in which so many items start. 0: nothing has been measured.
  double TimeOf(uint64_t items) const { return interval_ * static_cast<double>(items); }

 private:
  double interval_ = 0;
  int64_t last_start_ = 0;  // valid if was_waiting_
  uint64_t started_ = 1;    // items that started then
  bool was_waiting_ = false;
};

}  // namespace penstock::schedule
