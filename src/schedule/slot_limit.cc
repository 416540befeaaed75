// SPDX-License-Identifier: Apache-2.0
#include "schedule/slot_limit.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace penstock::schedule {
namespace {

// CPUs count as idle below this share of use. Between the two nothing changes: the process is not
// alone on the machine, and the CPU time is not exact.
constexpr double kIdleBelow = 0.95;
constexpr double kBusyFrom = 0.98;

}  // namespace

void SlotLimit::Record(int64_t now, int64_t cpu, uint32_t taken, bool waits) {
  const bool is_full = waits && taken == slots_;
  const bool was_full = std::exchange(was_full_, is_full);
  const auto time = static_cast<double>(now - std::exchange(last_now_, now));
  const auto used = static_cast<double>(cpu - std::exchange(last_cpu_, cpu));
  if (is_full && was_full && time > 0) RecordBusy(used / (time * cpus_));
}

void SlotLimit::RecordBusy(double busy) {
  ++calm_;
  uint32_t slots = slots_;
  if (busy < kIdleBelow) {
    if (before_ != 0) {
      slots = before_;
      patience_ = std::min(2 * patience_, kPatienceMax);
    } else {
      // If each run uses as much as those before, so many fill the CPUs.
      const double filling = std::ceil(static_cast<double>(slots_) / std::max(busy, 1e-3));
      slots = static_cast<uint32_t>(std::min<double>(filling, slots_max_));
    }
    before_ = 0;
  } else {
    before_ = 0;
    if (busy >= kBusyFrom && calm_ >= patience_ && slots_ > 1) {
      before_ = slots_;
      slots = slots_ - std::max<uint32_t>(slots_ / 8, 1);
    }
  }
  if (slots == slots_) return;
  slots_ = slots;
  calm_ = 0;
  was_full_ = false;  // the next interval begins when so many slots are taken
}

}  // namespace penstock::schedule
