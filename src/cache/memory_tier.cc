// SPDX-License-Identifier: Apache-2.0
#include "cache/memory_tier.h"

#include <algorithm>

namespace penstock::cache {

MemoryTier::~MemoryTier() {
  metrics_.bytes.Add(-static_cast<int64_t>(bytes()));
  metrics_.entries.Add(-static_cast<int64_t>(entries()));
}

RowRef MemoryTier::Find(const EntryKey& key, SteadyTime now) {
  Shard& shard = shards_[ShardOf(key)];
  RowRef expired;  // freed without the lock
  MutexLock lock(shard.mutex);
  const auto found = shard.places.find(key);
  if (found == shard.places.end()) return {};
  Slot& slot = shard.slots[found->second];
  if (slot.expires <= now) [[unlikely]] {
    expired = Take(shard, found->second);
    return {};
  }
  slot.was_used = true;
  return slot.row;
}

void MemoryTier::Put(const EntryKey& key, RowRef row, SteadyTime expires) {
  const uint64_t cost = CostOf(*row);
  if (cost > bytes_max_ / 8) return;
  const size_t index = ShardOf(key);
  Shard& shard = shards_[index];
  {
    RowRef former;  // freed without the lock
    MutexLock lock(shard.mutex);
    if (const auto found = shard.places.find(key); found != shard.places.end())
      former = Take(shard, found->second);
    if (shard.free.empty()) {
      shard.free.push_back(static_cast<uint32_t>(shard.slots.size()));
      shard.slots.emplace_back();
    }
    const uint32_t place = shard.free.back();
    shard.free.pop_back();
    // It must be asked for once more to stay: many rows are asked for only once.
    shard.slots[place] = {key, std::move(row), expires, /*was_used=*/false};
    shard.places.emplace(key, place);
    Count(static_cast<int64_t>(cost), 1);
  }
  MakeRoom(index);
}

void MemoryTier::MakeRoom(size_t first_shard) {
  // Each step takes a row, or finds a shard that is empty.
  for (size_t step = 0; bytes() > bytes_max_ && step < kShards;) {
    if (TakeUnused(shards_[(first_shard + step) % kShards])) {
      metrics_.evictions.Add();
    } else {
      ++step;
    }
  }
}

RowRef MemoryTier::TakeUnused(Shard& shard) {
  MutexLock lock(shard.mutex);
  // After one round no row counts as used, so the second one finds one.
  for (size_t step = 0; step < 2 * shard.slots.size(); ++step) {
    const size_t place = shard.hand;
    shard.hand = (shard.hand + 1) % shard.slots.size();
    Slot& slot = shard.slots[place];
    if (!slot.row) continue;
    if (!slot.was_used) return Take(shard, static_cast<uint32_t>(place));
    slot.was_used = false;
  }
  return {};
}

RowRef MemoryTier::Take(Shard& shard, uint32_t place) {
  Slot& slot = shard.slots[place];
  RowRef row = std::move(slot.row);
  slot.row = {};
  shard.places.erase(slot.key);
  shard.free.push_back(place);
  Count(-static_cast<int64_t>(CostOf(*row)), -1);
  return row;
}

void MemoryTier::Count(int64_t bytes, int64_t entries) {
  bytes_.fetch_add(static_cast<uint64_t>(bytes), std::memory_order_relaxed);
  entries_.fetch_add(static_cast<uint64_t>(entries), std::memory_order_relaxed);
  metrics_.bytes.Add(bytes);
  metrics_.entries.Add(entries);
}

}  // namespace penstock::cache
