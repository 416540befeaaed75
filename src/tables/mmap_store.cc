// SPDX-License-Identifier: Apache-2.0
// A table past the CPU's caches is bound by the latency of memory: each row is a miss or more. So
// rows are asked for some keys ahead of the copy, as the buckets of the index are.
#include "tables/mmap_store.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "protocols/npy/npy_header.h"
#include "tables/key_hash.h"

namespace penstock::tables {
namespace {

constexpr size_t kLineBytes = 64;
constexpr size_t kRowsAhead = 8;
// The processor itself asks for the rest of a longer row.
constexpr size_t kLinesAheadMax = 16;
// A header in front of the rows is not longer.
constexpr size_t kNpyHeaderBytesMax = 1 << 16;

std::string PathOf(const std::string& folder, const std::string& name) {
  return fmt::format("{}/{}", folder, name);
}

bool IsNpy(const std::string& name) { return name.ends_with(".npy"); }

// Reads the header of a file of numpy, and checks that it can be used in place.
StatusOr<npy::NpyHeader> ReadArrayHeader(const MappedFile& file) {
  StatusOr<npy::NpyHeader> header = npy::ReadNpyHeader(file.text().substr(0, kNpyHeaderBytesMax));
  if (!header.ok()) return InvalidArgument("{}: {}", file.path(), MessageOf(header.status()));
  if (header->format.dtype == DType::kString || header->format.is_big_endian)
    return InvalidArgument("{}: its elements must be little-endian numbers", file.path());
  if (header->is_fortran_order && header->shape.rank() > 1)
    return InvalidArgument("{}: its rows are not one behind the other: save it in C order",
                           file.path());
  return header;
}

// The elements of a file of numpy must be all of the file that follows the header.
Status CheckArrayBytes(const MappedFile& file, const npy::NpyHeader& header) {
  const std::optional<int64_t> elements = header.shape.ElementCount();
  const size_t bytes = file.size() - std::min(header.data_at, file.size());
  if (!elements || bytes % header.format.bytes != 0 ||
      bytes / header.format.bytes != static_cast<uint64_t>(*elements))
    return InvalidArgument(
        "{} has {} bytes of elements, but its shape is {}: the copy may not be complete",
        file.path(), bytes, header.shape.ToString());
  return OkStatus();
}

StatusOr<std::span<const int64_t>> NumbersOf(const MappedFile& file, bool is_npy) {
  size_t begin = 0;
  if (is_npy) {
    ASSIGN_OR_RETURN(const npy::NpyHeader header, ReadArrayHeader(file));
    if (header.format.dtype != DType::kInt64 || header.shape.rank() != 1)
      return InvalidArgument("{}: keys must be int64 numbers in one dimension", file.path());
    TRY(CheckArrayBytes(file, header));
    begin = header.data_at;
  }
  const size_t bytes = file.size() - begin;
  if (bytes % sizeof(int64_t) != 0 || begin % sizeof(int64_t) != 0)
    return InvalidArgument(
        "{} has {} bytes, which are no whole number of int64 keys: the copy may not be complete",
        file.path(), bytes);
  return std::span(reinterpret_cast<const int64_t*>(file.data() + begin), bytes / sizeof(int64_t));
}

}  // namespace

StatusOr<std::unique_ptr<MmapStore>> MmapStore::Open(const std::string& folder,
                                                     const Manifest& manifest,
                                                     const std::atomic<bool>& stop) {
  auto store = std::make_unique<MmapStore>();
  store->info_.key_type = *manifest.key_type;
  store->info_.shard = manifest.shard;
  ASSIGN_OR_RETURN(store->rows_file_, MappedFile::Open(PathOf(folder, manifest.rows_file)));
  store->rows_file_.ExpectRandomReads();
  if (manifest.key_type == KeyType::kDense) {
    TRY(store->DivideRows(manifest, std::nullopt));
    return store;
  }
  const std::string keys_path = PathOf(folder, manifest.keys_file);
  TRY(store->OpenKeys(keys_path, manifest));
  if (manifest.key_type == KeyType::kString) {
    TRY(store->OpenIndex(keys_path, stop));
    TRY(store->DivideRows(manifest, store->index_->rows()));
    return store;
  }
  // The sizes are checked before an index is made, which takes time.
  TRY(store->DivideRows(manifest, store->keys_.numbers.size()));
  TRY(store->OpenIndex(keys_path, stop));
  return store;
}

Status MmapStore::OpenKeys(const std::string& path, const Manifest& manifest) {
  ASSIGN_OR_RETURN(keys_file_, MappedFile::Open(path));
  keys_.type = info_.key_type;
  keys_.file = &keys_file_;
  keys_.shard = info_.shard;
  if (const auto found = manifest.checksums.find(manifest.keys_file);
      found != manifest.checksums.end())
    keys_.checksum = found->second;
  if (keys_.type == KeyType::kString) {
    keys_.text = keys_file_.text();
    return OkStatus();
  }
  ASSIGN_OR_RETURN(keys_.numbers, NumbersOf(keys_file_, IsNpy(path)));
  return OkStatus();
}

Status MmapStore::OpenIndex(const std::string& path, const std::atomic<bool>& stop) {
  ASSIGN_OR_RETURN(index_, KeyIndex::OpenOrBuild(keys_, path + ".index", stop));
  index_->file().ExpectRandomReads();
  return OkStatus();
}

Status MmapStore::DivideArray(const Manifest& manifest) {
  ASSIGN_OR_RETURN(const npy::NpyHeader header, ReadArrayHeader(rows_file_));
  const size_t rank = header.shape.rank();
  if (rank != 1 && rank != 2)
    return InvalidArgument("{}: its shape is {}; it must be [rows, dimension]", rows_file_.path(),
                           header.shape.ToString());
  TRY(CheckArrayBytes(rows_file_, header));
  info_.dimension = rank == 1 ? 1 : static_cast<uint64_t>(header.shape.dim(1));
  info_.dtype = header.format.dtype;
  rows_begin_ = header.data_at;
  if (info_.dimension == 0 || info_.dimension > kDimensionMax)
    return InvalidArgument("{}: its rows have {} elements; they must have 1 to {}",
                           rows_file_.path(), info_.dimension, kDimensionMax);
  if (manifest.dimension && *manifest.dimension != info_.dimension)
    return InvalidArgument("{} has rows of {} elements, but {} says {}", rows_file_.path(),
                           info_.dimension, kManifestName, *manifest.dimension);
  if (manifest.dtype && *manifest.dtype != info_.dtype)
    return InvalidArgument("{} has elements of type {}, but {} says {}", rows_file_.path(),
                           DTypeName(info_.dtype), kManifestName, DTypeName(*manifest.dtype));
  return OkStatus();
}

Status MmapStore::DivideRows(const Manifest& manifest, std::optional<uint64_t> keys) {
  if (IsNpy(manifest.rows_file)) {
    TRY(DivideArray(manifest));
  } else {
    info_.dtype = manifest.dtype.value_or(DType::kFloat32);
    info_.dimension = manifest.dimension.value_or(0);
  }
  const uint64_t bytes = rows_file_.size() - rows_begin_;
  const size_t element_bytes = DTypeBytes(info_.dtype);
  if (info_.dimension == 0 && keys.value_or(0) > 0) info_.dimension = bytes / element_bytes / *keys;
  if (info_.dimension == 0 || info_.dimension > kDimensionMax)
    return InvalidArgument("{}: {} must say the 'dimension' of its rows", rows_file_.path(),
                           kManifestName);
  info_.row_bytes = info_.dimension * element_bytes;
  info_.rows = keys.value_or(bytes / info_.row_bytes);
  // No overflow: there are at most 2^32 keys, and 2^24 bytes in a row.
  if (info_.rows > kRowsMax || info_.rows * info_.row_bytes != bytes)
    return InvalidArgument(
        "{} has {} bytes of rows, but {} rows of {} {} elements have {}: the copy may not be "
        "complete, or {} is wrong",
        rows_file_.path(), bytes, info_.rows, info_.dimension, DTypeName(info_.dtype),
        info_.rows * info_.row_bytes, kManifestName);
  return OkStatus();
}

void MmapStore::Find(const Lookup& lookup, absl::AnyInvocable<void(Status)> done) {
  const size_t keys = std::max(lookup.numbers.size(), lookup.strings.size());
  for (size_t first = 0; first < keys; first += kChunkKeys)
    FindChunk(lookup, first, std::min(kChunkKeys, keys - first));
  done(OkStatus());
}

void MmapStore::FindChunk(const Lookup& lookup, size_t first, size_t count) const {
  std::array<uint32_t, kChunkKeys> rows;
  if (info_.key_type == KeyType::kString) {
    index_->Find(lookup.strings.subspan(first, count), rows.data());
  } else if (info_.key_type == KeyType::kInt64) {
    index_->Find(lookup.numbers.subspan(first, count), rows.data());
  } else {
    const uint64_t shards = info_.shard.count;
    for (size_t i = 0; i < count; ++i) {
      // A negative key becomes one past all rows.
      const auto key = static_cast<uint64_t>(lookup.numbers[first + i]);
      const bool is_here = key / shards < info_.rows && key % shards == info_.shard.index;
      rows[i] = is_here ? static_cast<uint32_t>(key / shards) : kNoRow;
    }
  }
  Copy(lookup, first, count, rows.data());
}

void MmapStore::Copy(const Lookup& lookup, size_t first, size_t count, const uint32_t* rows) const {
  const std::byte* const data = rows_file_.data() + rows_begin_;
  const size_t bytes = info_.row_bytes;
  // A row may begin in the middle of a line.
  const size_t ahead_bytes = std::min(bytes + kLineBytes - 1, kLinesAheadMax * kLineBytes);
  const auto ask_for = [&](uint32_t row) {
    if (row == kNoRow) return;
    const std::byte* const begin = data + row * bytes;
    for (size_t at = 0; at < ahead_bytes; at += kLineBytes) __builtin_prefetch(begin + at);
  };
  for (size_t i = 0; i < std::min(kRowsAhead, count); ++i) ask_for(rows[i]);
  std::byte* to = lookup.rows + first * bytes;
  for (size_t i = 0; i < count; ++i, to += bytes) {
    if (i + kRowsAhead < count) ask_for(rows[i + kRowsAhead]);
    lookup.found[first + i] = rows[i] != kNoRow;
    if (rows[i] != kNoRow) std::memcpy(to, data + rows[i] * bytes, bytes);
  }
}

}  // namespace penstock::tables
