// SPDX-License-Identifier: Apache-2.0
// Finds the number of a row by its key, in a file that is mapped into memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "tables/index_file.h"
#include "tables/mapped_file.h"
#include "tensor/tensor.h"

namespace penstock::tables {

// An index of keys. Its file begins with a header, and has a hash table of buckets, and for string
// keys the offset of each key. The keys of int64 are in the buckets, so that a search reads one
// cache line. docs/decisions/0039 has the format and the reasons for it.
//
//   ASSIGN_OR_RETURN(KeyIndex index, KeyIndex::OpenOrBuild(keys, "/models/m/1/key.index", stop));
//   index.Find(ids, rows);
//
// A file of any contents is safe to use: it can give wrong rows, but none that do not exist.
// Immutable.
class KeyIndex final {
 public:
  // Opens the index file `path`, which takes no time. If there is none, or if it is of other keys,
  // makes it. If it cannot be written, the index takes memory, and the log says so. `keys` must
  // outlive it. Errors:
  //   INVALID_ARGUMENT: a key is there twice, or belongs to another shard, or there are too many,
  //     or the checksum is wrong;
  //   CANCELLED: `stop` was set.
  static StatusOr<KeyIndex> OpenOrBuild(const KeyFile& keys, const std::string& path,
                                        const std::atomic<bool>& stop);
  // Opens it only. Errors: NOT_FOUND, or FAILED_PRECONDITION if it is not the index of these keys,
  // with the reason.
  static StatusOr<KeyIndex> Open(const KeyFile& keys, const std::string& path);

  uint64_t rows() const { return rows_; }
  const MappedFile& file() const { return file_; }
  // Reads the whole file, and compares its checksum. Slow. Errors: those of CheckFile.
  Status Check(const std::atomic<bool>& stop) const;

  // Sets each of `rows` to the number of the row with the key at the same position, or to kNoRow.
  // One of them fits the type of the keys.
  void Find(std::span<const int64_t> keys, uint32_t* rows) const;
  void Find(std::span<const StringElement> keys, uint32_t* rows) const;
  // The same in two steps, for a caller who does other work in between: the first one gives the
  // hashes of the keys, and asks for what the second one reads first.
  void Locate(std::span<const int64_t> keys, uint64_t* hashes) const;
  void Locate(std::span<const StringElement> keys, uint64_t* hashes) const;
  void FindLocated(std::span<const int64_t> keys, const uint64_t* hashes, uint32_t* rows) const;
  void FindLocated(std::span<const StringElement> keys, const uint64_t* hashes,
                   uint32_t* rows) const;
  // As Find, for files that may not be in memory: each step asks for the pages of all keys before
  // it waits for one.
  void FindOnDisk(std::span<const int64_t> keys, uint32_t* rows) const;
  void FindOnDisk(std::span<const StringElement> keys, uint32_t* rows) const;
  // Returns the key of a row, of string keys. REQUIRES: row < rows().
  std::string_view KeyOf(uint32_t row) const;

 private:
  // A search of more keys is divided: the buckets of one chunk stay in the cache.
  static constexpr size_t kChunkKeys = 128;

  static StatusOr<KeyIndex> FromFile(const KeyFile& keys, MappedFile file);

  uint64_t BucketOf(uint64_t hash) const;
  // Returns the first row, from bucket `at` on, whose stored key is `stored` and that `accept`
  // takes.
  template <typename Accept>
  uint32_t FindFrom(uint64_t at, uint64_t stored, Accept accept) const;
  template <typename Key>
  void FindInChunks(std::span<const Key> keys, uint32_t* rows) const;
  // Returns the first row of a string whose hash is `hash`.
  uint32_t FindHash(uint64_t hash) const;
  // The row that FindHash gave is right unless another key has the same hash.
  uint32_t CheckString(std::string_view key, uint64_t hash, uint32_t row) const;

  MappedFile file_;
  const IndexBucket* buckets_ = nullptr;
  const uint64_t* offsets_ = nullptr;  // of string keys: rows_ + 1
  std::string_view text_;              // of string keys
  uint64_t bucket_count_ = 0;
  uint64_t chain_max_ = 0;
  uint64_t rows_ = 0;
};

}  // namespace penstock::tables
