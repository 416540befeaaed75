// SPDX-License-Identifier: Apache-2.0
// A small dense number for each living thread, so that counters can have one cache line per thread.
#pragma once

#include <array>
#include <cstddef>

namespace penstock {

// Slots are 0 .. kThreadSlots - 1. Threads that find no free slot share the last one, so several
// threads may write to a slot: use atomics.
inline constexpr int kThreadSlots = 128;

namespace internal {
inline constinit thread_local int thread_slot = -1;  // not taken yet
int TakeThreadSlot();
}  // namespace internal

// This thread's slot. It stays the same until the thread ends; another thread may get it
// afterwards.
inline int ThreadSlot() {
  const int slot = internal::thread_slot;
  return slot >= 0 ? slot : internal::TakeThreadSlot();
}

// One Cell per slot, each in its own cache line: for counters that every request changes. Takes 8
// KiB or more (kThreadSlots lines), so it is not for thousands of objects.
//
//   ThreadCells<std::atomic<int64_t>> counts;
//   counts.Mine().fetch_add(1, std::memory_order_relaxed);
//   counts.ForEach([&](const auto& count) { sum += count.load(); });
//
// Thread-safe if Cell is.
template <typename Cell>
class ThreadCells {
 public:
  // The cell of this thread. Others may read it at the same time, and threads without a slot of
  // their own share one.
  Cell& Mine() { return cells_[static_cast<size_t>(ThreadSlot())].cell; }

  // Calls `function` with every cell, used or not. The values may change meanwhile, so a sum is
  // exact only if no thread writes.
  template <typename Function>
  void ForEach(Function function) const {
    for (const Line& line : cells_) function(line.cell);
  }

 private:
  struct alignas(64) Line {
    Cell cell{};
  };
  std::array<Line, kThreadSlots> cells_;
};

}  // namespace penstock
