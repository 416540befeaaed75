// SPDX-License-Identifier: Apache-2.0
// Server-wide amounts (requests, bytes of bodies) that the loops draw from without sharing a cache
// line for each request.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace penstock::net {

// So much of something, for all loops together. Thread-safe.
class Allowance final {
 public:
  explicit Allowance(uint64_t total) : total_(total), left_(static_cast<int64_t>(total)) {}

  // False, and nothing taken, if there is not so much left.
  [[nodiscard]] bool TryTake(uint64_t amount) {
    const auto wanted = static_cast<int64_t>(amount);
    int64_t left = left_.load(std::memory_order_relaxed);
    while (left >= wanted) {
      if (left_.compare_exchange_weak(left, left - wanted, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  void Give(uint64_t amount) {
    left_.fetch_add(static_cast<int64_t>(amount), std::memory_order_relaxed);
  }

  uint64_t total() const { return total_; }
  // What is not taken; what loops hold in reserve counts as taken.
  uint64_t left() const { return static_cast<uint64_t>(left_.load(std::memory_order_relaxed)); }

 private:
  const uint64_t total_;
  std::atomic<int64_t> left_;
};

// One loop's reserve of an allowance: taken from it and given back in lots. All reserves together
// hold back at most an eighth of the total. Owned by loop.
class LocalAllowance final {
 public:
  LocalAllowance(Allowance& source, int loops, uint64_t lot_max)
      : source_(source),
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
    if (missing < lot_ && source_.TryTake(lot_)) {
      reserve_ += lot_ - amount;
      return true;
    }
    if (!source_.TryTake(missing)) return false;
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
  const uint64_t lot_;
  uint64_t reserve_ = 0;
};

}  // namespace penstock::net
