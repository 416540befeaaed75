// SPDX-License-Identifier: Apache-2.0
#include "tables/push/source_parts.h"

#include <algorithm>

#include "base/encoding/crc32c.h"
#include "redis/resp.h"
#include "tables/key_hash.h"
#include "tables/redis_rows.h"

namespace penstock::tables {
namespace {

// A node does nothing else while a hash moves to another one, so it is not larger.
constexpr uint64_t kHashBytesMax = 1 << 20;
constexpr uint64_t kHashBytesWanted = 768 << 10;
constexpr uint64_t kPartBytesMax = 64 << 20;
constexpr uint64_t kPartitionsMax = 1 << 24;
// Redis's allocator rounds up to powers of two; a row less leaves room for its own header.
constexpr uint64_t kBlockBytes = 256 << 10;
// What a field takes beside its key and its row.
constexpr size_t kFieldOverhead = 24;
constexpr size_t kKeyBytes = 16;

}  // namespace

std::string SentinelOf(uint32_t checksum) { return fmt::format("{:08x}", checksum); }

StatusOr<SourceParts> SourceParts::Make(std::unique_ptr<MmapStore> store,
                                        const PartOptions& options) {
  SourceParts parts;
  parts.store_ = std::move(store);
  parts.ordered_rows_max_ = options.ordered_rows_max;
  const StoreInfo& info = parts.info();
  if (parts.is_dense()) {
    if (options.partitions)
      return InvalidArgument(
          "dense keys lie in blocks: --block_rows divides them, not --partitions");
    const uint64_t fitting = kBlockBytes / info.row_bytes;
    parts.block_rows_ = options.block_rows.value_or(std::max<uint64_t>(fitting, 2) - 1);
    if (parts.block_rows_ < 1 ||
        (parts.block_rows_ > 1 && parts.block_rows_ > kPartBytesMax / info.row_bytes))
      return InvalidArgument("--block_rows={} gives blocks of more than {} bytes",
                             parts.block_rows_, kPartBytesMax);
    return parts;
  }
  if (options.block_rows)
    return InvalidArgument("{} keys lie in hashes: --partitions divides them, not --block_rows",
                           KeyTypeName(info.key_type));
  if (options.partitions) {
    if (*options.partitions < 1 || *options.partitions > kPartitionsMax)
      return InvalidArgument("--partitions must be from 1 to {}", kPartitionsMax);
    if (const uint64_t bytes = parts.Count(*options.partitions); bytes > kPartBytesMax)
      return InvalidArgument(
          "--partitions={} gives a hash of about {} bytes; at most {} are allowed",
          *options.partitions, bytes, kPartBytesMax);
    return parts;
  }
  const uint64_t bytes = info.rows * parts.FieldBytes();
  uint64_t partitions = std::clamp<uint64_t>(bytes / kHashBytesWanted + 1, 1, kPartitionsMax);
  // Hashes have different sizes. A row may be larger than a hash should be.
  while (parts.Count(partitions) > kHashBytesMax &&
         partitions < std::min(info.rows, kPartitionsMax))
    partitions = std::min(partitions + partitions / 4 + 1, kPartitionsMax);
  return parts;
}

size_t SourceParts::FieldBytes() const { return info().row_bytes + kKeyBytes + kFieldOverhead; }

uint64_t SourceParts::HashOf(uint64_t row) const {
  return info().key_type == KeyType::kString ? HashKey(store_->TextOf(row))
                                             : HashKey(store_->NumberOf(row));
}

uint64_t SourceParts::Count(uint64_t partitions) {
  counts_.assign(partitions, 0);
  for (uint64_t row = 0; row < info().rows; ++row) ++counts_[HashOf(row) % partitions];
  return *std::ranges::max_element(counts_) * FieldBytes();
}

uint64_t SourceParts::RowsOf(uint64_t part) const {
  return is_dense() ? std::min(block_rows_, info().rows - part * block_rows_) : counts_[part];
}

size_t SourceParts::BytesOf(uint64_t part) const {
  return RowsOf(part) * (is_dense() ? info().row_bytes : FieldBytes());
}

uint64_t SourceParts::OrderFrom(uint64_t first) {
  if (is_dense()) return parts();
  first_ = first;
  begin_.assign(1, 0);
  uint64_t last = first;
  // One part always fits.
  while (last < parts() && (last == first || begin_.back() + counts_[last] <= ordered_rows_max_))
    begin_.push_back(begin_.back() + counts_[last++]);
  order_.resize(begin_.back());
  std::vector<uint64_t> next = begin_;
  for (uint64_t row = 0; row < info().rows; ++row) {
    const uint64_t part = HashOf(row) % counts_.size();
    if (part < first || part >= last) continue;
    order_[next[part - first]++] = static_cast<uint32_t>(row);
  }
  return last;
}

std::string_view SourceParts::BlockOf(uint64_t part) const {
  return store_->AllRows().substr(part * block_rows_ * info().row_bytes,
                                  RowsOf(part) * info().row_bytes);
}

PartCommand SourceParts::AppendWrite(uint64_t part, std::string_view key, uint64_t ttl_s,
                                     std::string& commands) const {
  PartCommand command{.begin = commands.size(), .rows = RowsOf(part)};
  if (is_dense()) {
    redis::AppendCount(5, commands);
    redis::AppendArgument("SET", commands);
    redis::AppendArgument(key, commands);
    redis::AppendArgument(BlockOf(part), commands);
    redis::AppendArgument("EX", commands);
    redis::AppendNumber(ttl_s, commands);
  } else {
    redis::AppendCount(2 + 2 * (command.rows + 1), commands);
    redis::AppendArgument("HSET", commands);
    redis::AppendArgument(key, commands);
    const size_t fields = commands.size();
    const std::string_view rows = store_->AllRows();
    const uint64_t* const begin = &begin_[part - first_];
    for (uint64_t i = begin[0]; i < begin[1]; ++i) {
      const uint32_t row = order_[i];
      if (info().key_type == KeyType::kString) {
        AppendField(store_->TextOf(row), commands);
      } else {
        redis::AppendNumber(store_->NumberOf(row), commands);
      }
      redis::AppendArgument(rows.substr(row * info().row_bytes, info().row_bytes), commands);
    }
    command.checksum = Crc32c(std::string_view(commands).substr(fields));
    redis::AppendArgument(kSentinel, commands);
    redis::AppendArgument(SentinelOf(command.checksum), commands);
  }
  command.bytes = commands.size() - command.begin;
  return command;
}

}  // namespace penstock::tables
