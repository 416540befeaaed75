// SPDX-License-Identifier: Apache-2.0
// Whether the pages that a table reads are in memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/clock.h"

namespace penstock::tables {

// Tells whether the thread waits for pages from the disk. A read that takes no time has not waited,
// so the kernel, which counts the waits, is asked only about others. One thread; lives on its
// stack.
class DiskWatch final {
 public:
  DiskWatch() : last_(std::chrono::steady_clock::now()) {
    if (seen_ < 0) [[unlikely]]
      HasCounted();
  }

  // Returns true if the thread has waited since the last call, or since it was made. Since then it
  // has looked for so many keys.
  bool HasWaited(size_t keys) {
    const SteadyTime now = std::chrono::steady_clock::now();
    const Duration time = now - std::exchange(last_, now);
    return time >= kDiskTimeMin + static_cast<int64_t>(keys) * kKeyTimeMax && HasCounted();
  }
  // The waits until now are no news, for the next watch on this thread neither.
  static void Forget() { HasCounted(); }

 private:
  // The fastest disks take about as long.
  static constexpr Duration kDiskTimeMin = std::chrono::microseconds(8);
  static constexpr Duration kKeyTimeMax = std::chrono::nanoseconds(250);  // in memory

  // Returns true if the kernel has counted waits since the last call on this thread.
  static bool HasCounted();

  static inline constinit thread_local int64_t seen_ = -1;  // the kernel's last count; -1: none

  SteadyTime last_;
};

// Decides from batches of reads whether a table is warm: nearly all that is wanted is in memory.
// Then its runs are so short that they may be on an event loop. A table starts cold. Thread-safe.
class Residence final {
 public:
  // So many keys may be looked up in one run on an event loop, if each of them takes so many bytes
  // of the answer. That is about 0.1 ms.
  static constexpr int64_t InlineKeysMax(size_t row_bytes) {
    return std::min(kInlineKeysMax, kInlineBytesMax / std::max<int64_t>(1, row_bytes));
  }
  // Call it before the first batch.
  void SetInlineKeysMax(int64_t keys) { inline_keys_when_warm_ = keys; }

  bool IsCold() const { return is_cold_.load(std::memory_order_relaxed); }
  // See ModelTraits::inline_elements_max.
  const std::atomic<int64_t>& inline_keys_max() const { return inline_keys_max_; }

  // Call it after each batch. `waited`: some page was not in memory.
  void Note(bool waited) {
    // Relaxed: these are statistics, and a lost count only delays the decision.
    if (!waited && !IsCold()) [[likely]]
      return;
    if (waited) return NoteWait();
    if (clean_.fetch_add(1, std::memory_order_relaxed) + 1 >=
        needed_.load(std::memory_order_relaxed))
      SetCold(false);
  }

 private:
  static constexpr int64_t kInlineKeysMax = 1024;
  static constexpr int64_t kInlineBytesMax = 256 << 10;
  static constexpr uint32_t kCleanMin = 32;
  static constexpr uint32_t kCleanMax = 1024;

  void NoteWait() {
    clean_.store(0, std::memory_order_relaxed);
    if (IsCold()) return;
    // A table that is often sent back must prove itself for longer.
    const uint32_t needed = needed_.load(std::memory_order_relaxed);
    needed_.store(std::min(2 * needed, kCleanMax), std::memory_order_relaxed);
    SetCold(true);
  }
  void SetCold(bool is_cold) {
    is_cold_.store(is_cold, std::memory_order_relaxed);
    inline_keys_max_.store(is_cold ? 0 : inline_keys_when_warm_, std::memory_order_relaxed);
  }

  int64_t inline_keys_when_warm_ = 0;
  std::atomic<int64_t> inline_keys_max_{0};
  std::atomic<bool> is_cold_{true};
  std::atomic<uint32_t> clean_{0};           // batches without a wait, since the last one with
  std::atomic<uint32_t> needed_{kCleanMin};  // so many make a table warm
};

}  // namespace penstock::tables
