// SPDX-License-Identifier: Apache-2.0
// How it works. The kernel must clear fresh pages, which costs more than copying the body. So the
// pool keeps used mappings with their pages, and the next body of about the same size gets one.
// Sizes are rounded to an eighth of their power of two, so that similar bodies can share mappings.
// What the pool keeps is limited by resident bytes, and unused mappings are unmapped after a while
// (EventLoop::OnTick).
#include "net/loop/big_buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

namespace penstock::net {
namespace {

constexpr size_t kPageBytes = 4096;

// Rounds to steps of an eighth of the power of two, so that similar bodies can share mappings.
size_t MappingSize(size_t size) {
  const size_t step = std::max(kPageBytes, std::bit_floor(size) / 8);
  return (size + step - 1) / step * step;
}

}  // namespace

BigBufferPool::~BigBufferPool() {
  for (const Kept& kept : kept_) Unmap(kept.mapping);
}

Mapping BigBufferPool::Take(size_t size) {
  size = MappingSize(size);
  {
    MutexLock lock(mutex_);
    auto best = kept_.end();
    for (auto it = kept_.begin(); it != kept_.end(); ++it) {
      // A mapping of more than twice the size would waste its resident pages, and a later big body
      // would miss it.
      if (it->mapping.size < size || it->mapping.size / 2 > size) continue;
      if (best == kept_.end() || it->mapping.size <= best->mapping.size) best = it;
    }
    if (best != kept_.end()) {
      const Mapping mapping = best->mapping;
      resident_ -= mapping.resident;
      kept_.erase(best);
      return mapping;
    }
  }
  if (!TryReserve(size)) return {};
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data != MAP_FAILED) return {.data = static_cast<std::byte*>(data), .size = size};
  reserved_.fetch_sub(size, std::memory_order_relaxed);
  return {};
}

// Counts `size` bytes as reserved. Unmaps kept mappings if that makes room.
bool BigBufferPool::TryReserve(size_t size) {
  MutexLock lock(mutex_);
  while (reserved_bytes() + size > reserved_bytes_max_ && !kept_.empty()) {
    resident_ -= kept_.front().mapping.resident;
    Unmap(kept_.front().mapping);
    kept_.erase(kept_.begin());
  }
  if (reserved_bytes() + size > reserved_bytes_max_) return false;
  reserved_.fetch_add(size, std::memory_order_relaxed);
  return true;
}

void BigBufferPool::Unmap(const Mapping& mapping) {
  munmap(mapping.data, mapping.size);
  reserved_.fetch_sub(mapping.size, std::memory_order_relaxed);
}

void BigBufferPool::Give(Mapping mapping, SteadyTime now) {
  if (mapping.resident > resident_bytes_max_ || mapping.resident == 0) return Unmap(mapping);
  // munmap is slow for big mappings, so it runs after the lock is released.
  std::vector<Kept> dropped;
  {
    MutexLock lock(mutex_);
    auto it = kept_.begin();
    while (resident_ + mapping.resident > resident_bytes_max_) {
      resident_ -= it->mapping.resident;
      dropped.push_back(*it++);
    }
    kept_.erase(kept_.begin(), it);
    kept_.push_back({mapping, now});
    resident_ += mapping.resident;
  }
  for (const Kept& kept : dropped) Unmap(kept.mapping);
}

void BigBufferPool::Trim(SteadyTime before) {
  std::vector<Kept> dropped;
  {
    MutexLock lock(mutex_);
    auto it = kept_.begin();
    for (; it != kept_.end() && it->since <= before; ++it) {
      resident_ -= it->mapping.resident;
      dropped.push_back(*it);
    }
    kept_.erase(kept_.begin(), it);
  }
  for (const Kept& kept : dropped) Unmap(kept.mapping);
}

uint64_t BigBufferPool::resident_bytes() const {
  MutexLock lock(mutex_);
  return resident_;
}

uint64_t BigBufferPool::Report(Gauge& gauge) {
  MutexLock lock(mutex_);
  const uint64_t reserved = reserved_bytes();
  if (reserved != reported_)
    gauge.Add(static_cast<double>(reserved) - static_cast<double>(reported_));
  reported_ = reserved;
  return reserved;
}

}  // namespace penstock::net
