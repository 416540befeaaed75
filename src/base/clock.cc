// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

namespace penstock {
namespace {

// The clock of the operating system. Thread-safe.
class RealClock final : public Clock {
 public:
  SteadyTime Now() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace

const Clock& Clock::Real() {
  static const RealClock clock;
  return clock;
}

}  // namespace penstock
