// SPDX-License-Identifier: Apache-2.0
#include "net/loop/idle_memory.h"

#include <malloc.h>

namespace penstock::net {
namespace {

// malloc_trim takes milliseconds, since it walks the heap. Less than this is not worth it.
constexpr size_t kWorthBytes = 512 * 1024;

}  // namespace

bool IdleMemory::TrimIfQuiet() {
  if (freed_.load(std::memory_order_relaxed) < kWorthBytes) return false;
  if (busy_loops_.load(std::memory_order_relaxed) > 0) return false;
  // Two loops may come here at once. The exchange gives the bytes to one of them, and the other
  // does not trim.
  if (freed_.exchange(0, std::memory_order_relaxed) < kWorthBytes) return false;
  malloc_trim(0);
  return true;
}

}  // namespace penstock::net
