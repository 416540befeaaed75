// SPDX-License-Identifier: Apache-2.0
// Returns the process to the size that it had before a peak. The allocator keeps freed memory.
// malloc_trim() gives it back but walks the whole heap. So it runs once after a peak, when no
// request waits.
#pragma once

#include <atomic>
#include <cstddef>

namespace penstock::net {

// One for all loops. Thread-safe.
class IdleMemory final {
 public:
  // About this many bytes were freed that a peak had needed.
  void NoteFreed(size_t bytes) { freed_.fetch_add(bytes, std::memory_order_relaxed); }
  // A loop has become busy with requests, or has stopped being busy.
  void NoteBusy(bool is_busy) {
    busy_loops_.fetch_add(is_busy ? 1 : -1, std::memory_order_relaxed);
  }
  // Gives memory back to the system if that is worth it and no loop is busy. Returns true if it
  // did. May take milliseconds.
  // REQUIRES: the caller's loop is not busy, since it waits while the heap is walked. The event
  // loops call it from their tick.
  bool TrimIfQuiet();

 private:
  std::atomic<size_t> freed_{0};  // bytes since the last trim
  std::atomic<int> busy_loops_{0};
};

}  // namespace penstock::net
