// SPDX-License-Identifier: Apache-2.0
// Time, passed in so that tests can set it.
#pragma once

#include <atomic>
#include <chrono>

namespace penstock {

using SteadyTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

// "No deadline".
inline constexpr SteadyTime kNoDeadline = SteadyTime::max();

// Where the time comes from. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic: for deadlines and durations.
  virtual SteadyTime Now() const = 0;
  // The machine's clock. The process lives as long as it.
  static const Clock& Real();
};

// A clock that moves only when told. Thread-safe.
class FakeClock final : public Clock {
 public:
  SteadyTime Now() const override { return SteadyTime(Duration(ticks_.load())); }
  void Advance(Duration by) { ticks_.fetch_add(by.count()); }

 private:
  std::atomic<Duration::rep> ticks_{Duration(std::chrono::hours(1)).count()};
};

}  // namespace penstock
