// SPDX-License-Identifier: Apache-2.0
// Lets loops share server-wide limits (requests, bytes of bodies) without writing to a shared cache
// line for each request.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/allowance.h"

namespace penstock::net {

// One loop's reserve of an allowance. It takes from the allowance, and gives back, in large amounts
// ("lots"). All reserves together hold at most an eighth of the total. Owned by loop.
class LocalAllowance final {
 public:
  // Leaves `kept` of the source to others.
  LocalAllowance(Allowance& source, int loops, uint64_t lot_max, uint64_t kept = 0)
      : source_(source),
        kept_(kept),
        lot_(std::min<uint64_t>(lot_max, source.total() / (16 * static_cast<uint64_t>(loops)))) {}
  ~LocalAllowance() { source_.Give(reserve_); }
  LocalAllowance(const LocalAllowance&) = delete;
  LocalAllowance& operator=(const LocalAllowance&) = delete;

  [[nodiscard]] bool TryTake(uint64_t amount) {
    if (reserve_ >= amount) {
      reserve_ -= amount;
      return true;
    }
    const uint64_t missing = amount - reserve_;
    if (missing < lot_ && source_.TryTake(lot_, kept_)) {
      reserve_ += lot_ - amount;
      return true;
    }
    if (!source_.TryTake(missing, kept_)) return false;
    reserve_ = 0;
    return true;
  }
  void Give(uint64_t amount) {
    reserve_ += amount;
    if (reserve_ > 2 * lot_) {
      source_.Give(reserve_ - lot_);
      reserve_ = lot_;
    }
  }

 private:
  Allowance& source_;
  const uint64_t kept_;
  const uint64_t lot_;
  uint64_t reserve_ = 0;
};

}  // namespace penstock::net
