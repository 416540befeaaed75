// SPDX-License-Identifier: Apache-2.0
// Why the real clock counts ticks: a reading of the system's clock takes 25 to 40 ns, and a small
// request of 2 us needs three. The processor's time stamp counter takes a third of that.
//
// How it works: each thread keeps a pair of readings, of the system's clock and of the counter. For
// the next 2^18 ticks (about 0.1 ms) it adds the ticks since then to the pair's time. After that it
// reads a new pair. So no error lives longer than 0.1 ms, not even if the machine sleeps or the
// thread moves to a processor whose counter differs. The thread measures the rate of the counter
// over at least 0.1 s, which makes its error less than one millionth, and measures it again every
// second, because the system's clock is adjusted.
//
// The counter is only used where Linux keeps its own time by it, which means that the kernel has
// found it steady and equal on all processors.
#include "base/clock.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace penstock {
namespace {

#if defined(__x86_64__)
uint64_t ReadTicks() { return __rdtsc(); }
#else
uint64_t ReadTicks() { return 0; }
#endif

bool IsCounterSteady() {
#if defined(__x86_64__)
  std::ifstream file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  std::string source;
  return file >> source && source == "tsc";
#else
  return false;
#endif
}

// The same moment on both clocks. `ticks` may be a little later than `time`, and never earlier, so
// that times which are computed from it do not run ahead.
struct Moment {
  SteadyTime time;
  uint64_t ticks = 0;

  static Moment Read() {
    constexpr uint64_t kTicksMax = 2000;  // A longer reading was interrupted.
    Moment moment;
    for (int tries = 0; tries < 3; ++tries) {
      const uint64_t before = ReadTicks();
      moment.time = std::chrono::steady_clock::now();
      moment.ticks = ReadTicks();
      if (moment.ticks - before <= kTicksMax) break;
    }
    return moment;
  }
};

// What a thread has read last.
struct Pair {
  Moment moment;
  Moment first;            // the rate is measured from here on
  uint64_t ticks_max = 0;  // 0: the rate is not known yet
  uint64_t rate = 0;       // nanoseconds of a tick, in units of 2^-32
};

constinit thread_local Pair last = {};

// The clock of the operating system. Thread-safe, as each thread has its own pair of readings.
class RealClock final : public Clock {
 public:
  SteadyTime Now() const override {
    const uint64_t ticks = ReadTicks() - last.moment.ticks;
    if (ticks < last.ticks_max) [[likely]]
      return last.moment.time + TimeOf(ticks);
    return is_steady_ ? ReadPair() : std::chrono::steady_clock::now();
  }

 private:
  static constexpr uint64_t kPairTicks = uint64_t{1} << 18;
  static constexpr Duration kMeasuredMin = std::chrono::milliseconds(100);
  static constexpr Duration kMeasuredMax = std::chrono::seconds(1);

  static Duration TimeOf(uint64_t ticks) {
    return std::chrono::nanoseconds(ticks * last.rate >> 32);
  }

  SteadyTime ReadPair() const {
    // The thread has given out times up to this one, and must not go back.
    const SteadyTime past = last.moment.time + TimeOf(last.ticks_max);
    last.moment = Moment::Read();
    last.moment.time = std::max(last.moment.time, past);
    if (last.first.ticks == 0) last.first = last.moment;
    const Duration measured = last.moment.time - last.first.time;
    if (measured >= kMeasuredMin) {
      const auto ticks = static_cast<double>(last.moment.ticks - last.first.ticks);
      const auto time = static_cast<double>(std::chrono::nanoseconds(measured).count());
      last.rate = static_cast<uint64_t>(time / ticks * 0x1p32);
      last.ticks_max = kPairTicks;
      if (measured >= kMeasuredMax) last.first = last.moment;
    }
    return last.moment.time;
  }

  const bool is_steady_ = IsCounterSteady();
};

}  // namespace

const Clock& Clock::Real() {
  static const RealClock clock;
  return clock;
}

}  // namespace penstock
