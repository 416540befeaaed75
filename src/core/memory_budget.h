// SPDX-License-Identifier: Apache-2.0
// Records how much of the memory for models is reserved, and for which loads.
#pragma once

#include <cstdint>
#include <map>

#include "base/saturating.h"

namespace penstock::core {

// Only records numbers; it allocates and measures nothing, and refuses nothing: MemoryAdmission
// decides by the headroom. A load is known by its number, so that a version that is loaded again
// has a new reservation. One thread at a time.
class MemoryBudget final {
 public:
  // `limit` in bytes; 0: no limit.
  explicit MemoryBudget(uint64_t limit) : limit_(limit) {}

  uint64_t limit() const { return limit_; }
  uint64_t reserved() const { return reserved_; }
  // The headroom in bytes. UINT64_MAX if there is no limit.
  uint64_t headroom() const {
    if (limit_ == 0) return UINT64_MAX;
    return SaturatingDifference(limit_, reserved_);
  }
  // The bytes reserved for the load with this number; 0 if there are none.
  uint64_t ReservedBy(uint64_t load) const {
    const auto found = loads_.find(load);
    return found == loads_.end() ? 0 : found->second.bytes;
  }
  // True if the bytes of this load were measured.
  bool IsMeasured(uint64_t load) const {
    const auto found = loads_.find(load);
    return found != loads_.end() && found->second.is_measured;
  }
  // Replaces the reservation of the load. May exceed the limit, because a measured size is known
  // only after the load.
  void Set(uint64_t load, uint64_t bytes, bool is_measured = false) {
    reserved_ += bytes - ReservedBy(load);
    if (bytes == 0) {
      loads_.erase(load);
    } else {
      loads_[load] = {bytes, is_measured};
    }
  }

 private:
  struct Reservation {
    uint64_t bytes = 0;
    bool is_measured = false;
  };

  const uint64_t limit_;
  uint64_t reserved_ = 0;
  std::map<uint64_t, Reservation> loads_;
};

}  // namespace penstock::core
