// SPDX-License-Identifier: Apache-2.0
// Asks for memory before it is read.
#pragma once

namespace penstock::tables {

// Asks the processor for the cache line at `address`, which may be any. A compiler may remove a
// loop that only asks, because nothing seems to need it: GCC 12 does. The empty instruction
// prevents it.
inline void Prefetch(const void* address) {
  __builtin_prefetch(address);
  asm volatile("" : : "r"(address));
}

}  // namespace penstock::tables
