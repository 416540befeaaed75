// SPDX-License-Identifier: Apache-2.0
// Rows of a generation that were wanted lately, in memory of a fixed size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "tables/mapped_file.h"
#include "tables/store.h"

namespace penstock::tables {

// Returns the hashes of all keys of a lookup, by HashKey.
std::vector<uint64_t> HashesOf(const StoreInfo& info, const Lookup& lookup);

// A cache before a store of one generation, whose rows never change. It also keeps keys that are
// known to be missing. Full sets keep what was wanted again: a new key must be wanted twice in a
// short time, or be lucky, before it takes the place of another. Thread-safe; each set of keys has
// a lock that is held while a row is copied.
class HotRows final {
 public:
  // Longer string keys are not kept.
  static constexpr size_t kTextBytesMax = 47;

  // Takes at most `bytes`, as they are used. Null if that is too little for some rows. Errors:
  // RESOURCE_EXHAUSTED if the system has no such address space.
  static StatusOr<std::unique_ptr<HotRows>> Make(const StoreInfo& info, size_t bytes);

  // Writes the rows that it has, and sets lookup.found for them. Returns the positions of all other
  // keys. `hashes` are those of the keys, by HashKey.
  std::vector<uint32_t> Find(const Lookup& lookup, std::span<const uint64_t> hashes);
  // Takes over what a store has found for the keys at these positions.
  void Keep(const Lookup& lookup, std::span<const uint64_t> hashes,
            std::span<const uint32_t> positions);

 private:
  static constexpr size_t kWays = 6;
  // One cache line. All zeros: empty. Only the holder of the lock may use the members, but for the
  // first four, which anybody may read, and `seen` and `luck`, which anybody may change: most keys
  // that are not there take no lock.
  struct alignas(64) Set {
    uint64_t keys[kWays];  // of strings: the hashes
    uint16_t seen[2];      // parts of the hashes of keys that were wanted and not taken in
    uint8_t luck;          // counts those
    uint8_t used;          // a bit for each way
    uint8_t lock;          // 1: it is held
    uint8_t is_missing;    // the key is known to have no row
    uint8_t is_wanted;     // it was found since the clock has passed
    uint8_t hand;          // of the clock
    uint8_t zero[6];
  };
  static_assert(sizeof(Set) == 64);
  class SetLock;

  HotRows(const StoreInfo& info, MappedFile memory, size_t sets);

  Set& SetOf(uint64_t hash) const;
  std::byte* SlotOf(const Set& set, size_t way) const;
  uint64_t KeyOf(const Lookup& lookup, uint64_t hash, size_t position) const;
  // Returns the way of the key, or kWays. REQUIRES: the lock of the set is held.
  size_t WayOf(const Set& set, const Lookup& lookup, uint64_t key, size_t position) const;
  bool FindOne(const Lookup& lookup, uint64_t hash, size_t position);
  void KeepOne(const Lookup& lookup, uint64_t hash, size_t position);
  // The first way that may have the key, or kWays. Takes no lock.
  static size_t LikelyWayOf(Set& set, uint64_t key);
  // Whether a key that the set lacks is taken in. Takes no lock.
  static bool Admits(Set& set, uint64_t hash);
  // Returns the way for a new key.
  static size_t MakeRoom(Set& set);

  const bool has_strings_;
  const size_t row_bytes_;
  const size_t slot_bytes_;  // a row, and the text of a string key
  const size_t set_count_;
  MappedFile memory_;
  Set* sets_ = nullptr;
  std::byte* slots_ = nullptr;
};

}  // namespace penstock::tables
