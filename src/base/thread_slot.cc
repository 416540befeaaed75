// SPDX-License-Identifier: Apache-2.0
#include "base/thread_slot.h"

#include <array>

#include "base/mutex.h"

namespace penstock {
namespace {

Mutex slots_mutex;
// The last slot is not in the list, because it is the one that threads share.
std::array<bool, kThreadSlots - 1> slots_taken GUARDED_BY(slots_mutex) = {};

int TakeSlot() {
  MutexLock lock(slots_mutex);
  for (size_t i = 0; i < slots_taken.size(); ++i) {
    if (slots_taken[i]) continue;
    slots_taken[i] = true;
    return static_cast<int>(i);
  }
  return kThreadSlots - 1;
}

// Holds the slot until the thread ends. One thread.
class SlotHolder final {
 public:
  ~SlotHolder() {
    MutexLock lock(slots_mutex);
    // Slots are used again, so that a server that starts and ends many threads does not run out of
    // them.
    if (slot_ < kThreadSlots - 1) slots_taken[static_cast<size_t>(slot_)] = false;
  }
  int slot() const { return slot_; }

 private:
  const int slot_ = TakeSlot();
};

}  // namespace

int internal::TakeThreadSlot() {
  // `thread_slot` itself has no destructor, so ThreadSlot() is a plain load. The holder gives the
  // slot back.
  thread_local const SlotHolder holder;
  return thread_slot = holder.slot();
}

}  // namespace penstock
