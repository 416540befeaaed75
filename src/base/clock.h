// SPDX-License-Identifier: Apache-2.0
// A source of time that tests can replace.
#pragma once

#include <atomic>
#include <chrono>

namespace penstock {

using SteadyTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

// "No deadline".
inline constexpr SteadyTime kNoDeadline = SteadyTime::max();

// A source of time. Components get one in their constructor, so that a test with a FakeClock
// decides when time passes. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // For deadlines and durations: it never goes back on a thread, and says nothing about the time of
  // day. Costs about 15 ns on the real clock. See the top of clock.cc.
  virtual SteadyTime Now() const = 0;
  // The machine's clock. It lives as long as the process.
  static const Clock& Real();
};

// A clock that moves only when a test advances it. Thread-safe.
class FakeClock final : public Clock {
 public:
  SteadyTime Now() const override { return SteadyTime(Duration(ticks_.load())); }
  void Advance(Duration by) { ticks_.fetch_add(by.count()); }

 private:
  std::atomic<Duration::rep> ticks_{Duration(std::chrono::hours(1)).count()};
};

}  // namespace penstock
