// SPDX-License-Identifier: Apache-2.0
// The rows that a cache has in memory.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "cache/cached_row.h"
#include "cache/row_mac.h"

namespace penstock::cache {

// Names a row of one output.
struct EntryKey {
  RowKey row;
  uint32_t output = 0;  // its position in the signature

  bool operator==(const EntryKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H state, const EntryKey& key) {
    return H::combine(std::move(state), key.row.low, key.output);
  }
};

// A table of a bounded number of bytes. If there is no room, the hands of its clocks go round, and
// take rows that nobody has asked for since they came by (CLOCK). The rows are divided among
// shards, each with a lock of its own, by bits of their keys, which are random. Thread-safe.
class MemoryTier final {
 public:
  // They must outlive it.
  struct Metrics {
    Gauge& bytes;
    Gauge& entries;
    Counter& evictions;
  };

  MemoryTier(uint64_t bytes_max, Metrics metrics) : bytes_max_(bytes_max), metrics_(metrics) {}
  ~MemoryTier();

  // Empty: it is not there, or not valid any more.
  RowRef Find(const EntryKey& key, SteadyTime now);
  // Adds a row, or takes the place of the one that is there. A row that would take more than an
  // eighth of all bytes is not kept. `expires`: kNoDeadline means never.
  void Put(const EntryKey& key, RowRef row, SteadyTime expires);

  uint64_t bytes_max() const { return bytes_max_; }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  uint64_t entries() const { return entries_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kShards = 32;

  // An entry of the circle of a shard. Free: it has no row.
  struct Slot {
    EntryKey key;
    RowRef row;
    SteadyTime expires;
    bool was_used = false;
  };
  struct alignas(64) Shard {
    Mutex mutex;
    absl::flat_hash_map<EntryKey, uint32_t> places GUARDED_BY(mutex);  // positions in `slots`
    std::vector<Slot> slots GUARDED_BY(mutex);
    std::vector<uint32_t> free GUARDED_BY(mutex);
    size_t hand GUARDED_BY(mutex) = 0;
  };

  // What an entry takes, with its share of the tables, of which up to a half is empty.
  static uint64_t CostOf(const CachedRow& row) {
    constexpr uint64_t kOfTables =
        sizeof(Slot) + sizeof(std::pair<const EntryKey, uint32_t>) + 1 + sizeof(uint32_t);
    return row.memory_bytes() + 2 * kOfTables;
  }
  static size_t ShardOf(const EntryKey& key) { return key.row.high % kShards; }

  // Takes the row out of the slot, and returns it: it is freed without the lock.
  RowRef Take(Shard& shard, uint32_t place) REQUIRES(shard.mutex);
  // Takes a row that was not used lately. Empty: the shard has none.
  RowRef TakeUnused(Shard& shard) EXCLUDES(shard.mutex);
  // Makes room, first in this shard.
  void MakeRoom(size_t first_shard);
  void Count(int64_t bytes, int64_t entries);

  const uint64_t bytes_max_;
  const Metrics metrics_;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> entries_{0};
  std::array<Shard, kShards> shards_;
};

}  // namespace penstock::cache
