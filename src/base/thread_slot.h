// SPDX-License-Identifier: Apache-2.0
// A small dense number for each living thread, so that counters can have one cache line per thread.
#pragma once

namespace penstock {

// Slots are 0 .. kThreadSlots - 1. The last one is shared by all threads that came when the others
// were taken, so a slot may be written by several threads: use atomics.
inline constexpr int kThreadSlots = 128;

namespace internal {
inline constinit thread_local int thread_slot = -1;  // not taken yet
int TakeThreadSlot();
}  // namespace internal

// This thread's slot, the same until the thread ends; then another thread may get it.
inline int ThreadSlot() {
  const int slot = internal::thread_slot;
  return slot >= 0 ? slot : internal::TakeThreadSlot();
}

}  // namespace penstock
