// SPDX-License-Identifier: Apache-2.0
// The handler runs in a thread that may hold any lock, so it takes none and allocates nothing. It
// walks a list of slots that only grows. It maps a page of zeros over the bad one, which
// is one system call, and returns: the instruction reads the zeros.
#include "tables/damage_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

namespace penstock::tables {

struct DamageGuard::Slot {
  std::atomic<uintptr_t> begin{0};  // 0: free
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> is_damaged{false};
  Slot* next = nullptr;  // fixed
};

namespace {

std::atomic<DamageGuard::Slot*> slots{nullptr};
struct sigaction before_guard;  // the earlier handler; set once, before ours is installed
uintptr_t page_bytes;           // the same

void HandleBus(int signal, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (DamageGuard::Slot* slot = slots.load(std::memory_order_acquire); slot != nullptr;
       slot = slot->next) {
    const uintptr_t begin = slot->begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= slot->end.load(std::memory_order_acquire))
      continue;
    slot->is_damaged.store(true, std::memory_order_release);
    void* const page = reinterpret_cast<void*>(address & ~(page_bytes - 1));
    if (mmap(page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page)
      return;
  }
  // The read fails again, and the earlier handler or the default ends the process. A signal that
  // was sent must be sent again.
  sigaction(signal, &before_guard, nullptr);
  if (info->si_code <= 0) raise(signal);
}

void InstallHandler() {
  [[maybe_unused]] static const bool once = [] {
    page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = HandleBus;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    PENSTOCK_CHECK(sigaction(SIGBUS, nullptr, &before_guard) == 0, "there is such a signal");
    PENSTOCK_CHECK(sigaction(SIGBUS, &action, nullptr) == 0, "there is such a signal");
    return true;
  }();
}

// Takes a free slot, or adds one. Slots are never freed: the handler may walk the list at any time.
DamageGuard::Slot* TakeSlot(uintptr_t begin, uintptr_t end) {
  for (DamageGuard::Slot* slot = slots.load(std::memory_order_acquire); slot != nullptr;
       slot = slot->next) {
    uintptr_t free = 0;
    // First without memory in it, so that nobody finds the end of the former owner.
    if (!slot->begin.compare_exchange_strong(free, UINTPTR_MAX)) continue;
    slot->is_damaged.store(false, std::memory_order_relaxed);
    slot->end.store(end, std::memory_order_release);
    slot->begin.store(begin, std::memory_order_release);
    return slot;
  }
  auto* const added = new DamageGuard::Slot;
  added->end.store(end, std::memory_order_relaxed);
  added->begin.store(begin, std::memory_order_relaxed);
  added->next = slots.load(std::memory_order_acquire);
  while (!slots.compare_exchange_weak(added->next, added, std::memory_order_acq_rel)) {
  }
  return added;
}

}  // namespace

DamageGuard::DamageGuard(const void* data, size_t size)
    : slot_([&] {
        InstallHandler();
        const auto begin = reinterpret_cast<uintptr_t>(data);
        return TakeSlot(begin, begin + size);
      }()) {}

DamageGuard::~DamageGuard() {
  slot_->end.store(0, std::memory_order_release);
  slot_->begin.store(0, std::memory_order_release);
}

bool DamageGuard::is_damaged() const { return slot_->is_damaged.load(std::memory_order_acquire); }

}  // namespace penstock::tables
