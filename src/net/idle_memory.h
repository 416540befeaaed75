// SPDX-License-Identifier: Apache-2.0
// Brings the process back to its size before a peak. The allocator keeps what is freed; asking it
// to give memory back walks its whole heap, so that is done once after a peak, when nobody waits.
#pragma once

#include <atomic>
#include <cstddef>

namespace penstock::net {

// One for all loops. Thread-safe.
class IdleMemory final {
 public:
  // About so many bytes were freed that a peak had needed.
  void NoteFreed(size_t bytes) { freed_.fetch_add(bytes, std::memory_order_relaxed); }
  // One more, or one less, of the loops has requests to serve.
  void NoteBusy(bool is_busy) {
    busy_loops_.fetch_add(is_busy ? 1 : -1, std::memory_order_relaxed);
  }
  // Gives memory back to the system if that is worth it and no loop is busy. May take milliseconds.
  // True if it did.
  bool TrimIfQuiet();

 private:
  std::atomic<size_t> freed_{0};
  std::atomic<int> busy_loops_{0};
};

}  // namespace penstock::net
