// SPDX-License-Identifier: Apache-2.0
// The file of a KeyIndex: its format, and how it is made.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/status.h"
#include "tables/manifest.h"
#include "tables/mapped_file.h"

namespace penstock::tables {

// The number of no row: the key is not there.
inline constexpr uint32_t kNoRow = UINT32_MAX;
inline constexpr uint64_t kRowsMax = UINT32_MAX;  // so many; the last one has one number less
inline constexpr size_t kBucketKeys = 5;

// The keys of a table, in the order of its rows. Immutable.
struct KeyFile {
  KeyType type = KeyType::kInt64;         // kInt64 or kString
  std::span<const int64_t> numbers = {};  // of kInt64
  std::string_view text = {};             // of kString: a key in each line
  const MappedFile* file = nullptr;       // that has them
  Shard shard = {};                       // that they all must belong to
  std::optional<uint32_t> checksum = {};  // of the file, as the manifest says
};

// One cache line of the hash table. In the file as it is in memory.
struct IndexBucket {
  std::array<uint64_t, kBucketKeys> keys;  // int64 keys, or the hashes of strings
  std::array<uint32_t, kBucketKeys> rows;
  uint8_t count;          // of the keys
  uint8_t has_overflown;  // 1: keys that belong here are in the next bucket
  uint16_t zero;
};
static_assert(sizeof(IndexBucket) == 64 && std::is_trivially_copyable_v<IndexBucket>);

// The start of the file. The buckets follow it, and then, for string keys, `rows` + 1 offsets of
// keys in the file of keys.
struct IndexHeader {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t key_type;
  uint64_t rows;
  uint64_t buckets;
  uint64_t chain_max;       // the most buckets between a key and the one that it belongs to
  uint64_t keys_bytes;      // of the file of keys
  int64_t keys_changed_ns;  // when it was changed last
  uint32_t keys_checksum;   // its CRC32C
  uint32_t body_checksum;   // the CRC32C of what follows the header
  uint32_t shard_index;
  uint32_t shard_count;
  std::array<char, 52> zero;
  uint32_t header_checksum;  // the CRC32C of what precedes it
};
static_assert(sizeof(IndexHeader) == 128 && std::is_trivially_copyable_v<IndexHeader>);

// The bucket of the `count` that a key with this hash belongs to: the hash as a fraction of 2^64.
constexpr uint64_t BucketOfHash(uint64_t hash, uint64_t count) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(hash) * count) >> 64);
}

// Checks that the header is that of an index of these keys, and that the file is whole. Reads only
// the header. FAILED_PRECONDITION, with the reason.
Status CheckIndexFile(const KeyFile& keys, const MappedFile& file);

// Makes the index, and replaces the file `path` by it. If another process makes it at this moment,
// waits for that. If the file cannot be written, returns memory instead. `reason` is why it is
// made, for the log. Errors: those of KeyIndex::OpenOrBuild.
StatusOr<MappedFile> BuildIndexFile(const KeyFile& keys, const std::string& path,
                                    const Status& reason, const std::atomic<bool>& stop);

}  // namespace penstock::tables
