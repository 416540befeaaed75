// SPDX-License-Identifier: Apache-2.0
// Whether the pages that a table reads are in memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace penstock::tables {

// The number of times that this thread has waited for a page from the disk.
int64_t DiskWaitsOfThread();

// Decides from batches of reads whether a table is warm: nearly all that is wanted is in memory, so
// it is read without asking for it before. A table starts cold. (Whether it runs on an event loop
// is decided by the time of its runs, as for any model: a wait for the disk sends it to the pool.)
// Thread-safe.
class Residence final {
 public:
  bool IsCold() const { return is_cold_.load(std::memory_order_relaxed); }

  // Call it after each batch. `waited`: some page was not in memory.
  void Note(bool waited) {
    // Relaxed: these are statistics, and a lost count only delays the decision.
    if (!waited && !IsCold()) [[likely]]
      return;
    if (waited) return NoteWait();
    if (clean_.fetch_add(1, std::memory_order_relaxed) + 1 >=
        needed_.load(std::memory_order_relaxed))
      is_cold_.store(false, std::memory_order_relaxed);
  }

 private:
  static constexpr uint32_t kCleanMin = 32;
  static constexpr uint32_t kCleanMax = 1024;

  void NoteWait() {
    clean_.store(0, std::memory_order_relaxed);
    if (IsCold()) return;
    // A table that is often sent back must prove itself for longer.
    const uint32_t needed = needed_.load(std::memory_order_relaxed);
    needed_.store(std::min(2 * needed, kCleanMax), std::memory_order_relaxed);
    is_cold_.store(true, std::memory_order_relaxed);
  }

  std::atomic<bool> is_cold_{true};
  std::atomic<uint32_t> clean_{0};           // batches without a wait, since the last one with
  std::atomic<uint32_t> needed_{kCleanMin};  // so many make a table warm
};

}  // namespace penstock::tables
