// SPDX-License-Identifier: Apache-2.0
// A bucket is one cache line with five keys and their rows. A key that finds its bucket full goes
// to the next one, and the bucket remembers that: a search ends at the first bucket that none has
// left. Buckets hold three keys on average, so 92 of 100 searches read one line, whether or not the
// key is there, and the table takes 21.3 bytes for each row.
//
// A search of many keys has two passes, so that the reads of memory overlap: the first one asks for
// the cache lines, the second one uses them.
#include "tables/key_index.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "tables/file_check.h"
#include "tables/index_file.h"
#include "tables/key_hash.h"
#include "tables/prefetch.h"

namespace penstock::tables {

uint64_t KeyIndex::BucketOf(uint64_t hash) const { return BucketOfHash(hash, bucket_count_); }

template <typename Accept>
uint32_t KeyIndex::FindFrom(uint64_t at, uint64_t stored, Accept accept) const {
  // The header bounds the way, so that a damaged file cannot make it endless.
  for (uint64_t step = 0; step <= chain_max_; ++step) {
    const IndexBucket& bucket = buckets_[at];
    // Without branches, because nobody can guess which of the keys it is.
    uint32_t equal = 0;
    for (size_t i = 0; i < kBucketKeys; ++i)
      equal |= static_cast<uint32_t>(bucket.keys[i] == stored) << i;
    equal &= (1U << std::min<uint32_t>(bucket.count, kBucketKeys)) - 1;
    for (; equal != 0; equal &= equal - 1) {
      // In a damaged file the row may not exist.
      const uint32_t row = bucket.rows[static_cast<size_t>(std::countr_zero(equal))];
      if (row < rows_ && accept(row)) return row;
    }
    if (bucket.has_overflown == 0) return kNoRow;
    at = at + 1 == bucket_count_ ? 0 : at + 1;
  }
  return kNoRow;
}

uint32_t KeyIndex::FindHash(uint64_t hash) const {
  return FindFrom(BucketOf(hash), hash, [](uint32_t) { return true; });
}

uint32_t KeyIndex::CheckString(std::string_view key, uint64_t hash, uint32_t row) const {
  if (row == kNoRow || KeyOf(row) == key) return row;
  return FindFrom(BucketOf(hash), hash, [&](uint32_t other) { return KeyOf(other) == key; });
}

void KeyIndex::Locate(std::span<const int64_t> keys, uint64_t* hashes) const {
  for (size_t i = 0; i < keys.size(); ++i) {
    hashes[i] = HashKey(keys[i]);
    Prefetch(&buckets_[BucketOf(hashes[i])]);
  }
}

void KeyIndex::Locate(std::span<const StringElement> keys, uint64_t* hashes) const {
  for (size_t i = 0; i < keys.size(); ++i) {
    hashes[i] = HashKey(keys[i].view());
    Prefetch(&buckets_[BucketOf(hashes[i])]);
  }
}

void KeyIndex::FindLocated(std::span<const int64_t> keys, const uint64_t* hashes,
                           uint32_t* rows) const {
  PENSTOCK_CHECK(offsets_ == nullptr, "the keys are numbers");
  for (size_t i = 0; i < keys.size(); ++i) {
    rows[i] = FindFrom(BucketOf(hashes[i]), static_cast<uint64_t>(keys[i]),
                       [](uint32_t) { return true; });
  }
}

void KeyIndex::FindLocated(std::span<const StringElement> keys, const uint64_t* hashes,
                           uint32_t* rows) const {
  PENSTOCK_CHECK(offsets_ != nullptr, "the keys are strings");
  // Three reads depend on each other: the bucket, the offset, and the key itself. Each pass asks
  // for what the next one reads.
  for (size_t i = 0; i < keys.size(); ++i) {
    rows[i] = FindHash(hashes[i]);
    if (rows[i] != kNoRow) Prefetch(&offsets_[rows[i]]);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    // A damaged offset may be beyond all memory.
    if (rows[i] != kNoRow && offsets_[rows[i]] < text_.size())
      Prefetch(text_.data() + offsets_[rows[i]]);
  }
  for (size_t i = 0; i < keys.size(); ++i)
    rows[i] = CheckString(keys[i].view(), hashes[i], rows[i]);
}

template <typename Key>
void KeyIndex::FindInChunks(std::span<const Key> keys, uint32_t* rows) const {
  std::array<uint64_t, kChunkKeys> hashes;
  for (size_t count = 0; !keys.empty(); rows += count, keys = keys.subspan(count)) {
    count = std::min(keys.size(), kChunkKeys);
    Locate(keys.first(count), hashes.data());
    FindLocated(keys.first(count), hashes.data(), rows);
  }
}

void KeyIndex::Find(std::span<const int64_t> keys, uint32_t* rows) const {
  FindInChunks(keys, rows);
}

void KeyIndex::Find(std::span<const StringElement> keys, uint32_t* rows) const {
  FindInChunks(keys, rows);
}

void KeyIndex::FindOnDisk(std::span<const int64_t> keys, uint32_t* rows) const {
  for (const int64_t key : keys)
    MappedFile::AskFor(&buckets_[BucketOf(HashKey(key))], sizeof(IndexBucket));
  Find(keys, rows);
}

void KeyIndex::FindOnDisk(std::span<const StringElement> keys, uint32_t* rows) const {
  std::vector<uint64_t> hashes(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    hashes[i] = HashKey(keys[i].view());
    MappedFile::AskFor(&buckets_[BucketOf(hashes[i])], sizeof(IndexBucket));
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    rows[i] = FindHash(hashes[i]);
    if (rows[i] != kNoRow) MappedFile::AskFor(&offsets_[rows[i]], 2 * sizeof(uint64_t));
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    if (rows[i] == kNoRow || offsets_[rows[i]] >= text_.size()) continue;
    const std::string_view rest = text_.substr(offsets_[rows[i]]);
    MappedFile::AskFor(rest.data(), std::min(rest.size(), keys[i].size));
  }
  for (size_t i = 0; i < keys.size(); ++i)
    rows[i] = CheckString(keys[i].view(), hashes[i], rows[i]);
}

Status KeyIndex::Check(const std::atomic<bool>& stop) const {
  // It is in memory, and this process has just made it.
  if (file_.descriptor() < 0) return OkStatus();
  IndexHeader header;
  std::memcpy(&header, file_.data(), sizeof(header));
  return CheckFile(file_, sizeof(header), header.body_checksum, stop);
}

std::string_view KeyIndex::KeyOf(uint32_t row) const {
  PENSTOCK_CHECK(offsets_ != nullptr && row < rows_, "there is such a row");
  const uint64_t begin = offsets_[row];
  const uint64_t end = offsets_[row + 1];
  // The byte before the next key ends the line. A damaged file may say anything.
  if (begin >= end || end > text_.size() + 1) return {};
  return text_.substr(begin, end - 1 - begin);
}

StatusOr<KeyIndex> KeyIndex::FromFile(const KeyFile& keys, MappedFile file) {
  TRY(CheckIndexFile(keys, file));
  IndexHeader header;
  std::memcpy(&header, file.data(), sizeof(header));
  KeyIndex index;
  index.rows_ = header.rows;
  index.bucket_count_ = header.buckets;
  index.chain_max_ = header.chain_max;
  index.buckets_ = reinterpret_cast<const IndexBucket*>(file.data() + sizeof(header));
  if (keys.type == KeyType::kString) {
    index.offsets_ = reinterpret_cast<const uint64_t*>(index.buckets_ + header.buckets);
    index.text_ = keys.text;
  }
  index.file_ = std::move(file);
  return index;
}

StatusOr<KeyIndex> KeyIndex::Open(const KeyFile& keys, const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  return FromFile(keys, std::move(file));
}

StatusOr<KeyIndex> KeyIndex::OpenOrBuild(const KeyFile& keys, const std::string& path,
                                         const std::atomic<bool>& stop) {
  StatusOr<KeyIndex> opened = Open(keys, path);
  if (opened.ok()) return opened;
  ASSIGN_OR_RETURN(MappedFile file, BuildIndexFile(keys, path, opened.status(), stop));
  return FromFile(keys, std::move(file));
}

}  // namespace penstock::tables
