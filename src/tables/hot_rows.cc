// SPDX-License-Identifier: Apache-2.0
// The keys of a set are one cache line, and the rows lie elsewhere: a key that is not there costs
// one line. Keys are looked up in small groups, so that the lines of all come at the same time.
#include "tables/hot_rows.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

#include "tables/key_hash.h"

namespace penstock::tables {
namespace {

constexpr size_t kGroup = 16;
constexpr size_t kFetchBytes = 64;
constexpr size_t kFetchesMax = 8;
constexpr size_t kSetsMin = 8;
constexpr size_t kTextSlotBytes = HotRows::kTextBytesMax + 1;  // and its length
constexpr int kSpins = 64;
// One key in so many is taken in although it was not seen before: keys that are wanted now and then
// would else never be.
constexpr uint8_t kLuck = 8;

// For members that are read without the lock.
template <typename T>
T Peek(T& member) {
  return std::atomic_ref(member).load(std::memory_order_relaxed);
}
template <typename T>
void Put(T& member, T value) {
  std::atomic_ref(member).store(value, std::memory_order_relaxed);
}

constexpr uint8_t BitOf(size_t way) { return static_cast<uint8_t>(1U << way); }

}  // namespace

std::vector<uint64_t> HashesOf(const StoreInfo& info, const Lookup& lookup) {
  const bool has_strings = info.key_type == KeyType::kString;
  std::vector<uint64_t> hashes(has_strings ? lookup.strings.size() : lookup.numbers.size());
  for (size_t i = 0; i < hashes.size(); ++i)
    hashes[i] = has_strings ? HashKey(lookup.strings[i].view()) : HashKey(lookup.numbers[i]);
  return hashes;
}

// Holds the lock of a set for the scope. One thread at a time.
class HotRows::SetLock final {
 public:
  explicit SetLock(Set& set) : lock_(set.lock) {
    for (int spins = 0; lock_.exchange(1, std::memory_order_acquire) != 0; ++spins) {
      // The holder may not be running.
      if (spins >= kSpins) sched_yield();
    }
  }
  ~SetLock() { lock_.store(0, std::memory_order_release); }
  SetLock(const SetLock&) = delete;
  SetLock& operator=(const SetLock&) = delete;

 private:
  const std::atomic_ref<uint8_t> lock_;
};

StatusOr<std::unique_ptr<HotRows>> HotRows::Make(const StoreInfo& info, size_t bytes) {
  const size_t slot_bytes =
      info.row_bytes + (info.key_type == KeyType::kString ? kTextSlotBytes : 0);
  const size_t sets = bytes / (sizeof(Set) + kWays * slot_bytes);
  if (sets < kSetsMin) return std::unique_ptr<HotRows>();
  StatusOr<MappedFile> memory =
      MappedFile::Anonymous(sets * (sizeof(Set) + kWays * slot_bytes), "the cache of hot rows");
  if (!memory.ok())
    return Error(StatusCode::kResourceExhausted, "no memory for the cache of hot rows: {}",
                 MessageOf(memory.status()));
  return std::unique_ptr<HotRows>(new HotRows(info, *std::move(memory), sets));
}

HotRows::HotRows(const StoreInfo& info, MappedFile memory, size_t sets)
    : has_strings_(info.key_type == KeyType::kString),
      row_bytes_(info.row_bytes),
      slot_bytes_(info.row_bytes + (has_strings_ ? kTextSlotBytes : 0)),
      set_count_(sets),
      memory_(std::move(memory)),
      sets_(reinterpret_cast<Set*>(memory_.mutable_data())),
      slots_(memory_.mutable_data() + sets * sizeof(Set)) {}

HotRows::Set& HotRows::SetOf(uint64_t hash) const {
  return sets_[static_cast<uint64_t>((static_cast<unsigned __int128>(hash) * set_count_) >> 64)];
}

std::byte* HotRows::SlotOf(const Set& set, size_t way) const {
  return slots_ + (static_cast<size_t>(&set - sets_) * kWays + way) * slot_bytes_;
}

uint64_t HotRows::KeyOf(const Lookup& lookup, uint64_t hash, size_t position) const {
  return has_strings_ ? hash : static_cast<uint64_t>(lookup.numbers[position]);
}

size_t HotRows::WayOf(const Set& set, const Lookup& lookup, uint64_t key, size_t position) const {
  for (size_t way = 0; way < kWays; ++way) {
    if ((set.used & BitOf(way)) == 0 || set.keys[way] != key) continue;
    if (!has_strings_) return way;
    const std::byte* const text = SlotOf(set, way) + row_bytes_;
    const std::string_view wanted = lookup.strings[position].view();
    if (static_cast<size_t>(*text) == wanted.size() &&
        std::memcmp(text + 1, wanted.data(), wanted.size()) == 0)
      return way;
  }
  return kWays;
}

bool HotRows::FindOne(const Lookup& lookup, uint64_t hash, size_t position) {
  Set& set = SetOf(hash);
  const SetLock lock(set);
  const size_t way = WayOf(set, lookup, KeyOf(lookup, hash, position), position);
  if (way == kWays) return false;
  set.is_wanted |= BitOf(way);
  const bool is_missing = (set.is_missing & BitOf(way)) != 0;
  lookup.found[position] = !is_missing;
  if (!is_missing) std::memcpy(lookup.rows + position * row_bytes_, SlotOf(set, way), row_bytes_);
  return true;
}

std::vector<uint32_t> HotRows::Find(const Lookup& lookup, std::span<const uint64_t> hashes) {
  std::vector<uint32_t> missing;
  missing.reserve(hashes.size());
  const size_t lines = std::min((slot_bytes_ + kFetchBytes - 1) / kFetchBytes, kFetchesMax);
  for (size_t begin = 0; begin < hashes.size(); begin += kGroup) {
    const size_t end = std::min(begin + kGroup, hashes.size());
    for (size_t i = begin; i < end; ++i) __builtin_prefetch(&SetOf(hashes[i]));
    std::array<bool, kGroup> may_be_there;
    for (size_t i = begin; i < end; ++i) {
      Set& set = SetOf(hashes[i]);
      const size_t way = LikelyWayOf(set, KeyOf(lookup, hashes[i], i));
      may_be_there[i - begin] = way != kWays;
      if (way == kWays) continue;
      for (size_t line = 0; line < lines; ++line)
        __builtin_prefetch(SlotOf(set, way) + line * kFetchBytes);
    }
    for (size_t i = begin; i < end; ++i) {
      if (!may_be_there[i - begin] || !FindOne(lookup, hashes[i], i))
        missing.push_back(static_cast<uint32_t>(i));
    }
  }
  return missing;
}

size_t HotRows::LikelyWayOf(Set& set, uint64_t key) {
  for (size_t way = 0; way < kWays; ++way)
    if (Peek(set.keys[way]) == key) return way;
  return kWays;
}

bool HotRows::Admits(Set& set, uint64_t hash) {
  if (Peek(set.used) != BitOf(kWays) - 1) return true;
  // The bits that do not choose the set.
  const auto mark = static_cast<uint16_t>(hash | 1);
  const uint16_t last = Peek(set.seen[0]);
  if (last == mark || Peek(set.seen[1]) == mark) return true;
  // Two threads may count as one: nothing depends on it.
  const auto luck = static_cast<uint8_t>(Peek(set.luck) + 1);
  Put(set.luck, luck);
  if (luck % kLuck == 0) return true;
  Put(set.seen[1], last);
  Put(set.seen[0], mark);
  return false;
}

size_t HotRows::MakeRoom(Set& set) {
  if (set.used != BitOf(kWays) - 1) return static_cast<size_t>(std::countr_one(set.used));
  for (;;) {
    const size_t way = set.hand;
    set.hand = static_cast<uint8_t>((way + 1) % kWays);
    if ((set.is_wanted & BitOf(way)) == 0) return way;
    set.is_wanted &= static_cast<uint8_t>(~BitOf(way));
  }
}

void HotRows::KeepOne(const Lookup& lookup, uint64_t hash, size_t position) {
  if (has_strings_ && lookup.strings[position].view().size() > kTextBytesMax) return;
  const uint64_t key = KeyOf(lookup, hash, position);
  Set& set = SetOf(hash);
  if (!Admits(set, hash)) return;
  const SetLock lock(set);
  // Another request may have been faster.
  if (WayOf(set, lookup, key, position) != kWays) return;
  const size_t way = MakeRoom(set);
  Put(set.keys[way], key);
  Put(set.used, static_cast<uint8_t>(set.used | BitOf(way)));
  set.is_wanted &= static_cast<uint8_t>(~BitOf(way));
  set.is_missing &= static_cast<uint8_t>(~BitOf(way));
  if (!lookup.found[position]) set.is_missing |= BitOf(way);
  std::byte* const slot = SlotOf(set, way);
  if (lookup.found[position]) std::memcpy(slot, lookup.rows + position * row_bytes_, row_bytes_);
  if (!has_strings_) return;
  const std::string_view text = lookup.strings[position].view();
  slot[row_bytes_] = static_cast<std::byte>(text.size());
  std::memcpy(slot + row_bytes_ + 1, text.data(), text.size());
}

void HotRows::Keep(const Lookup& lookup, std::span<const uint64_t> hashes,
                   std::span<const uint32_t> positions) {
  for (size_t begin = 0; begin < positions.size(); begin += kGroup) {
    const size_t end = std::min(begin + kGroup, positions.size());
    for (size_t i = begin; i < end; ++i) __builtin_prefetch(&SetOf(hashes[positions[i]]), 1);
    for (size_t i = begin; i < end; ++i) KeepOne(lookup, hashes[positions[i]], positions[i]);
  }
}

}  // namespace penstock::tables
