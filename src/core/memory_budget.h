// SPDX-License-Identifier: Apache-2.0
// How much of the memory for models is taken, and by which loads.
#pragma once

#include <cstdint>
#include <map>

#include "base/saturating.h"

namespace penstock::core {

// The books only. One thread at a time.
class MemoryBudget final {
 public:
  // In bytes; 0: no limit.
  explicit MemoryBudget(uint64_t limit) : limit_(limit) {}

  uint64_t limit() const { return limit_; }
  uint64_t taken() const { return taken_; }
  // What is left; without a limit all that a number can say.
  uint64_t free() const {
    if (limit_ == 0) return UINT64_MAX;
    return SaturatingDifference(limit_, taken_);
  }
  // Of the load with this number; 0 if it has taken nothing.
  uint64_t TakenBy(uint64_t load) const {
    const auto found = loads_.find(load);
    return found == loads_.end() ? 0 : found->second.bytes;
  }
  // Whether what it has taken was measured.
  bool IsMeasured(uint64_t load) const {
    const auto found = loads_.find(load);
    return found != loads_.end() && found->second.is_measured;
  }
  // Replaces what the load had taken. May go over the limit: the truth is told after the fact.
  void Set(uint64_t load, uint64_t bytes, bool is_measured = false) {
    taken_ += bytes - TakenBy(load);
    if (bytes == 0) {
      loads_.erase(load);
    } else {
      loads_[load] = {bytes, is_measured};
    }
  }

 private:
  struct Taken {
    uint64_t bytes = 0;
    bool is_measured = false;
  };

  const uint64_t limit_;
  uint64_t taken_ = 0;
  std::map<uint64_t, Taken> loads_;
};

}  // namespace penstock::core
