// SPDX-License-Identifier: Apache-2.0
// A limited amount of something, which many threads share.
#pragma once

#include <atomic>
#include <cstdint>

namespace penstock {

// A fixed total, which all event loops share.
//
//   if (!allowance.TryTake(bytes)) return Refuse();
//   ...
//   allowance.Give(bytes);  // on any thread, once for each true result
//
// Thread-safe.
class Allowance {
 public:
  explicit Allowance(uint64_t total) : total_(total), left_(static_cast<int64_t>(total)) {}

  // Returns false, and takes nothing, if less than `amount` is left, or if then less than `kept`
  // would be left.
  [[nodiscard]] bool TryTake(uint64_t amount, uint64_t kept = 0) {
    const auto wanted = static_cast<int64_t>(amount);
    const auto needed = static_cast<int64_t>(amount + kept);
    // Relaxed order is enough: the number guards no other memory.
    int64_t left = left_.load(std::memory_order_relaxed);
    while (left >= needed) {
      if (left_.compare_exchange_weak(left, left - wanted, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  // Returns units that TryTake has taken. Nothing checks that they were.
  void Give(uint64_t amount) {
    left_.fetch_add(static_cast<int64_t>(amount), std::memory_order_relaxed);
  }

  uint64_t total() const { return total_; }
  // The amount that is not taken. What loops hold in reserve counts as taken.
  uint64_t left() const { return static_cast<uint64_t>(left_.load(std::memory_order_relaxed)); }

 private:
  const uint64_t total_;
  std::atomic<int64_t> left_;
};

}  // namespace penstock
