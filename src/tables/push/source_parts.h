// SPDX-License-Identifier: Apache-2.0
// The rows of a version folder, divided as they lie in Redis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tables/mmap_store.h"
#include "tables/redis_settings.h"

namespace penstock::tables {

// How the rows are to be divided. What is not set is chosen by the size of the rows.
struct PartOptions {
  std::optional<uint64_t> partitions;
  std::optional<uint64_t> block_rows;
  // Of 4 bytes each: how many rows are put in order at a time. More of them are read several times.
  size_t ordered_rows_max = 1 << 24;
};

// A part of a table: a hash of the rows of a partition, or a block of dense rows.
struct PartCommand {
  // Where the command is in the text that it was appended to.
  size_t begin = 0;
  size_t bytes = 0;
  uint64_t rows = 0;
  uint32_t checksum = 0;  // the sentinel of the hash, as a number
};

// The value of a sentinel: the checksum of the fields that are beside it, in eight digits.
std::string SentinelOf(uint32_t checksum);

// Divides the rows, and makes the commands that write them. Rows must be put in order before their
// parts are written; several threads may write parts of the same order.
class SourceParts final {
 public:
  // Reads all keys, unless they are dense. INVALID_ARGUMENT if the options do not fit the table.
  static StatusOr<SourceParts> Make(std::unique_ptr<MmapStore> store, const PartOptions& options);

  const StoreInfo& info() const { return store_->info(); }
  bool is_dense() const { return info().key_type == KeyType::kDense; }
  uint64_t partitions() const { return is_dense() ? 0 : counts_.size(); }
  uint64_t block_rows() const { return block_rows_; }
  uint64_t parts() const { return is_dense() ? Blocks() : counts_.size(); }
  uint64_t RowsOf(uint64_t part) const;
  // About what the part takes in memory.
  size_t BytesOf(uint64_t part) const;
  // Puts the rows of the parts from `first` on in order. Returns the first part whose rows are not.
  uint64_t OrderFrom(uint64_t first);
  // Appends the command that writes all of the part `part`, whose key is `key`. A block gets
  // `ttl_s` seconds to live with it; a hash needs another command for that. REQUIRES: its rows are
  // in order.
  PartCommand AppendWrite(uint64_t part, std::string_view key, uint64_t ttl_s,
                          std::string& commands) const;
  // The bytes of a block of dense rows.
  std::string_view BlockOf(uint64_t part) const;
  // UNAVAILABLE if a file cannot be read any more.
  Status CheckFiles() const { return store_->CheckFiles(); }

 private:
  SourceParts() = default;
  uint64_t Blocks() const { return (info().rows + block_rows_ - 1) / block_rows_; }
  uint64_t HashOf(uint64_t row) const;
  // Counts the rows of each partition. Returns the bytes of the largest one.
  uint64_t Count(uint64_t partitions);
  size_t FieldBytes() const;

  std::unique_ptr<MmapStore> store_;
  size_t ordered_rows_max_ = 0;
  uint64_t block_rows_ = 0;
  std::vector<uint32_t> counts_;  // of the rows of each partition
  uint64_t first_ = 0;            // the first part whose rows are in order
  std::vector<uint64_t> begin_;   // where the rows of each of them begin in order_; and the end
  std::vector<uint32_t> order_;
};

}  // namespace penstock::tables
