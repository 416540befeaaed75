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

#include "base/check.h"
#include "tables/file_check.h"
#include "tables/index_file.h"
#include "tables/key_hash.h"

namespace penstock::tables {

uint64_t KeyIndex::BucketOf(uint64_t hash) const { return BucketOfHash(hash, bucket_count_); }

template <typename Accept>
uint32_t KeyIndex::FindFrom(uint64_t at, uint64_t stored, Accept accept) const {
  // The header bounds the way, so that a damaged file cannot make it endless.
  for (uint64_t step = 0; step <= chain_max_; ++step) {
    const IndexBucket& bucket = buckets_[at];
    const size_t count = std::min<size_t>(bucket.count, kBucketKeys);
    for (size_t i = 0; i < count; ++i) {
      if (bucket.keys[i] != stored) continue;
      // In a damaged file the row may not exist.
      const uint32_t row = bucket.rows[i];
      if (row < rows_ && accept(row)) return row;
    }
    if (bucket.has_overflown == 0) return kNoRow;
    at = at + 1 == bucket_count_ ? 0 : at + 1;
  }
  return kNoRow;
}

void KeyIndex::FindChunk(std::span<const int64_t> keys, uint32_t* rows) const {
  std::array<uint64_t, kChunkKeys> at;
  for (size_t i = 0; i < keys.size(); ++i) {
    at[i] = BucketOf(HashKey(keys[i]));
    __builtin_prefetch(&buckets_[at[i]]);
  }
  for (size_t i = 0; i < keys.size(); ++i)
    rows[i] = FindFrom(at[i], static_cast<uint64_t>(keys[i]), [](uint32_t) { return true; });
}

void KeyIndex::FindChunk(std::span<const StringElement> keys, uint32_t* rows) const {
  // Three reads depend on each other: the bucket, the offset, and the key itself. Each pass asks
  // for what the next one reads.
  std::array<uint64_t, kChunkKeys> hashes;
  for (size_t i = 0; i < keys.size(); ++i) {
    hashes[i] = HashKey(keys[i].view());
    __builtin_prefetch(&buckets_[BucketOf(hashes[i])]);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    rows[i] = FindFrom(BucketOf(hashes[i]), hashes[i], [](uint32_t) { return true; });
    if (rows[i] != kNoRow) __builtin_prefetch(&offsets_[rows[i]]);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    // A damaged offset may be beyond all memory.
    if (rows[i] != kNoRow && offsets_[rows[i]] < text_.size())
      __builtin_prefetch(text_.data() + offsets_[rows[i]]);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string_view key = keys[i].view();
    if (rows[i] == kNoRow || KeyOf(rows[i]) == key) continue;
    // Another key has the same hash.
    rows[i] =
        FindFrom(BucketOf(hashes[i]), hashes[i], [&](uint32_t row) { return KeyOf(row) == key; });
  }
}

void KeyIndex::Find(std::span<const int64_t> keys, uint32_t* rows) const {
  PENSTOCK_CHECK(offsets_ == nullptr, "the keys are numbers");
  for (; !keys.empty(); rows += std::min(keys.size(), kChunkKeys),
                        keys = keys.subspan(std::min(keys.size(), kChunkKeys)))
    FindChunk(keys.first(std::min(keys.size(), kChunkKeys)), rows);
}

void KeyIndex::Find(std::span<const StringElement> keys, uint32_t* rows) const {
  PENSTOCK_CHECK(offsets_ != nullptr, "the keys are strings");
  for (; !keys.empty(); rows += std::min(keys.size(), kChunkKeys),
                        keys = keys.subspan(std::min(keys.size(), kChunkKeys)))
    FindChunk(keys.first(std::min(keys.size(), kChunkKeys)), rows);
}

void KeyIndex::AskFor(std::span<const int64_t> keys) const {
  for (const int64_t key : keys)
    file_.AskFor(&buckets_[BucketOf(HashKey(key))], sizeof(IndexBucket));
}

void KeyIndex::AskFor(std::span<const StringElement> keys) const {
  for (const StringElement& key : keys)
    file_.AskFor(&buckets_[BucketOf(HashKey(key.view()))], sizeof(IndexBucket));
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
