// SPDX-License-Identifier: Apache-2.0
// Lets loops share server-wide limits (requests, bytes of bodies) without writing to a shared cache
// line for each request.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/allowance.h"

namespace penstock::net {

// One loop's reserve of an allowance. It takes from the allowance, and gives back, in large amounts
// ("lots"). So most requests change only a number of their own loop. The price: units in a reserve
// are lost for the other loops until this loop gives them back. All reserves together hold at most
// an eighth of the total, so that the limit stays within 12.5 % of its value.
//
//   LocalAllowance requests(server.requests, loops, /*lot_max=*/64);
//   if (!requests.TryTake(1)) return Refuse();  // the server's limit is reached
//   ...
//   requests.Give(1);  // on the same loop; another thread gives to server.requests
//
// Owned by loop.
class LocalAllowance final {
 public:
  // `source` must outlive it; `loops` is the number of reserves that share it. A lot is `lot_max`
  // units, or less if the allowance is small. `kept` units of the source stay for those who take
  // from it directly.
  LocalAllowance(Allowance& source, int loops, uint64_t lot_max, uint64_t kept = 0)
      : source_(source),
        kept_(kept),
        lot_(std::min<uint64_t>(lot_max, source.total() / (16 * static_cast<uint64_t>(loops)))) {}
  ~LocalAllowance() { source_.Give(reserve_); }
  LocalAllowance(const LocalAllowance&) = delete;
  LocalAllowance& operator=(const LocalAllowance&) = delete;

  // Takes `amount` units from the reserve, and if that has too few, the rest from the source.
  // False: the source has too few as well, and nothing was taken. An `amount` of more than a lot
  // goes to the source directly.
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
  // Returns units that TryTake has taken. More than two lots in reserve go back to the source, down
  // to one lot: a loop that takes and gives near the border does not write to shared memory each
  // time.
  void Give(uint64_t amount) {
    reserve_ += amount;
    if (reserve_ > 2 * lot_) {
      source_.Give(reserve_ - lot_);
      reserve_ = lot_;
    }
  }

 private:
  Allowance& source_;
  // Fixed after construction.
  const uint64_t kept_;
  const uint64_t lot_;
  uint64_t reserve_ = 0;
};

}  // namespace penstock::net
