// SPDX-License-Identifier: Apache-2.0
// A table past the CPU's caches is bound by the latency of memory: each row is a miss or more. So
// rows are asked for some keys ahead of the copy, as the buckets of the index are.
#include "tables/mmap_store.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "protocols/npy/npy_header.h"
#include "tables/file_check.h"
#include "tables/hot_rows.h"
#include "tables/prefetch.h"

namespace penstock::tables {
namespace {

constexpr size_t kLineBytes = 64;
constexpr size_t kRowsAhead = 16;
// The processor itself asks for the rest of a longer row.
constexpr size_t kBytesAheadMax = 512;
// How many keys of a request are looked up before it is asked whether the disk was waited for.
constexpr size_t kFirstKeysWarm = 16;
constexpr size_t kFirstKeysCold = 2;
// So many batches must wait for the disk before hot rows are kept: a table that is new in memory
// does not need them.
constexpr uint32_t kWaitsForCache = 64;
constexpr uint64_t kCacheShare = 64;  // of the bytes of the rows
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
  store->info_.indices = manifest.indices;
  ASSIGN_OR_RETURN(store->rows_file_, MappedFile::Open(PathOf(folder, manifest.rows_file)));
  store->rows_file_.ExpectRandomReads();
  if (const auto found = manifest.checksums.find(manifest.rows_file);
      found != manifest.checksums.end())
    store->rows_checksum_ = found->second;
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

uint64_t MmapStore::CacheBytes(const Manifest& manifest, uint64_t file_bytes) {
  return manifest.cache_bytes.value_or(file_bytes / kCacheShare);
}

MmapStore::~MmapStore() {
  stops_.store(true, std::memory_order_relaxed);
  if (checker_.joinable()) checker_.join();
}

Status MmapStore::Check(const std::atomic<bool>& stop) const {
  if (keys_.checksum) TRY(CheckFile(keys_file_, 0, *keys_.checksum, stop));
  if (index_) TRY(index_->Check(stop));
  return rows_checksum_ ? CheckFile(rows_file_, 0, *rows_checksum_, stop) : OkStatus();
}

bool MmapStore::RemoveDamagedIndex(const std::atomic<bool>& stop) const {
  return index_ && index_->Check(stop).code() == StatusCode::kDataLoss &&
         unlink(index_->file().path().c_str()) == 0;
}

void MmapStore::CheckInBackground() {
  checker_ = std::thread([this] {
    SetThreadName("table-check");
    SetThreadNice(19);
    const Status status = Check(stops_);
    if (!status.ok() && status.code() != StatusCode::kCancelled) ReportBroken(status);
  });
}

Status MmapStore::OpenIndex(const std::string& path, const std::atomic<bool>& stop) {
  ASSIGN_OR_RETURN(index_, KeyIndex::OpenOrBuild(keys_, path + ".index", stop));
  // To make it may have taken waits.
  DiskWatch::Forget();
  index_->file().ExpectRandomReads();
  // Requests read numbers in the index only.
  if (info_.key_type == KeyType::kString) keys_file_.ExpectRandomReads();
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
  cache_bytes_ = CacheBytes(manifest, bytes);
  residence_.SetInlineKeysMax(Residence::InlineKeysMax(info_.row_bytes));
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
  if (!residence_.IsCold()) [[likely]] {
    residence_.Note(FindAll(lookup, keys));
  } else if (const std::shared_ptr<HotRows> cache = hot()) {
    ReviewCache(FindByCache(lookup, *cache));
  } else {
    ReviewCache(FindAll(lookup, keys));
  }
  done(CheckFiles());
}

bool MmapStore::FindAll(const Lookup& lookup, size_t keys) const {
  bool waited = false;
  const size_t found = FindInMemory(lookup, keys, waited);
  // If some pages were missing, more will be: so all the rest is asked for together.
  if (found < keys) {
    FindOnDisk(lookup, found, keys - found);
    DiskWatch::Forget();
  }
  return waited;
}

bool MmapStore::FindByCache(const Lookup& lookup, HotRows& hot) const {
  const bool has_strings = info_.key_type == KeyType::kString;
  const std::vector<uint64_t> hashes = HashesOf(info_, lookup);
  const std::vector<uint32_t> missing = hot.Find(lookup, hashes);
  if (missing.empty()) return false;
  // The others, close together.
  std::vector<int64_t> numbers;
  std::vector<StringElement> strings;
  for (const uint32_t position : missing) {
    if (has_strings) {
      strings.push_back(lookup.strings[position]);
    } else {
      numbers.push_back(lookup.numbers[position]);
    }
  }
  const size_t bytes = info_.row_bytes;
  const auto rows = std::make_unique_for_overwrite<std::byte[]>(missing.size() * bytes);
  const auto found = std::make_unique_for_overwrite<bool[]>(missing.size());
  Lookup rest = lookup;
  rest.numbers = numbers;
  rest.strings = strings;
  rest.rows = rows.get();
  rest.found = found.get();
  const bool waited = FindAll(rest, missing.size());
  for (size_t i = 0; i < missing.size(); ++i) {
    lookup.found[missing[i]] = found[i];
    if (found[i]) std::memcpy(lookup.rows + missing[i] * bytes, rows.get() + i * bytes, bytes);
  }
  hot.Keep(lookup, hashes, missing);
  return waited;
}

std::shared_ptr<HotRows> MmapStore::hot() {
  MutexLock lock(mutex_);
  return hot_;
}

void MmapStore::ReviewCache(bool waited) {
  residence_.Note(waited);
  MutexLock lock(mutex_);
  if (!residence_.IsCold()) {
    waits_ = 0;
    hot_ = nullptr;
    return;
  }
  if (!waited || hot_ != nullptr || ++waits_ < kWaitsForCache) return;
  waits_ = 0;
  StatusOr<std::unique_ptr<HotRows>> made = HotRows::Make(info_, cache_bytes_);
  // Without address space for it, the table is only slower.
  if (made.ok()) hot_ = *std::move(made);
}

size_t MmapStore::FindInMemory(const Lookup& lookup, size_t keys, bool& waited) const {
  std::array<Chunk, 2> chunks;
  Chunk* now = &chunks[0];
  Chunk* next = &chunks[1];
  std::array<uint32_t, kChunkKeys> rows;
  // The pages of a chunk are waited for one after the other. So the first one is small.
  now->count = std::min(keys, residence_.IsCold() ? kFirstKeysCold : kFirstKeysWarm);
  DiskWatch watch;
  Locate(lookup, *now);
  for (; now->count > 0 && !waited; std::swap(now, next)) {
    FindRows(lookup, *now, rows.data());
    next->first = now->first + now->count;
    next->count = std::min({2 * now->count, kChunkKeys, keys - next->first});
    // Its part of the index is on the way while this chunk is copied.
    Locate(lookup, *next);
    Copy(lookup, *now, rows.data());
    waited = watch.HasWaited(now->count);
  }
  return now->first;
}

void MmapStore::FindOnDisk(const Lookup& lookup, size_t first, size_t count) const {
  std::vector<uint32_t> rows(count);
  if (info_.key_type == KeyType::kString) {
    index_->FindOnDisk(lookup.strings.subspan(first, count), rows.data());
  } else if (info_.key_type == KeyType::kInt64) {
    index_->FindOnDisk(lookup.numbers.subspan(first, count), rows.data());
  } else {
    FindNumbers(lookup.numbers.subspan(first, count), rows.data());
  }
  if (!CopyResident(lookup, first, rows)) return;
  // The others are on their way.
  const std::byte* const data = rows_file_.data() + rows_begin_;
  for (size_t i = 0; i < count; ++i) {
    if (rows[i] == kNoRow) continue;
    std::memcpy(lookup.rows + (first + i) * info_.row_bytes, data + rows[i] * info_.row_bytes,
                info_.row_bytes);
  }
}

bool MmapStore::CopyResident(const Lookup& lookup, size_t first, std::span<uint32_t> rows) const {
  const size_t bytes = info_.row_bytes;
  // Some file systems cannot say what is in memory. Then all is asked for.
  bool can_ask = true;
  bool is_rest = false;
  for (size_t i = 0; i < rows.size(); ++i) {
    lookup.found[first + i] = rows[i] != kNoRow;
    if (rows[i] == kNoRow) continue;
    const size_t at = rows_begin_ + rows[i] * bytes;
    iovec to = {lookup.rows + (first + i) * bytes, bytes};
    if (can_ask) {
      const ssize_t read =
          preadv2(rows_file_.descriptor(), &to, 1, static_cast<off_t>(at), RWF_NOWAIT);
      if (read == static_cast<ssize_t>(bytes)) {
        rows[i] = kNoRow;  // nothing is left to do
        continue;
      }
      can_ask = read >= 0 || errno == EAGAIN || errno == EINTR;
    }
    is_rest = true;
    MappedFile::AskFor(rows_file_.data() + at, bytes);
  }
  return is_rest;
}

void MmapStore::Locate(const Lookup& lookup, Chunk& chunk) const {
  if (info_.key_type == KeyType::kString) {
    index_->Locate(lookup.strings.subspan(chunk.first, chunk.count), chunk.hashes.data());
  } else if (info_.key_type == KeyType::kInt64) {
    index_->Locate(lookup.numbers.subspan(chunk.first, chunk.count), chunk.hashes.data());
  }
}

void MmapStore::FindRows(const Lookup& lookup, const Chunk& chunk, uint32_t* rows) const {
  if (info_.key_type == KeyType::kString) {
    index_->FindLocated(lookup.strings.subspan(chunk.first, chunk.count), chunk.hashes.data(),
                        rows);
  } else if (info_.key_type == KeyType::kInt64) {
    index_->FindLocated(lookup.numbers.subspan(chunk.first, chunk.count), chunk.hashes.data(),
                        rows);
  } else {
    FindNumbers(lookup.numbers.subspan(chunk.first, chunk.count), rows);
  }
}

void MmapStore::FindNumbers(std::span<const int64_t> keys, uint32_t* rows) const {
  const uint64_t shards = info_.shard.count;
  for (size_t i = 0; i < keys.size(); ++i) {
    // A negative key becomes one past all rows.
    const auto key = static_cast<uint64_t>(keys[i]);
    const bool is_here = key / shards < info_.rows && key % shards == info_.shard.index;
    rows[i] = is_here ? static_cast<uint32_t>(key / shards) : kNoRow;
  }
}

Status MmapStore::CheckFiles() {
  const MappedFile* damaged = nullptr;
  if (rows_file_.is_damaged()) damaged = &rows_file_;
  // To ask is a system call for each file. Numbers are read in the index only.
  if (info_.key_type == KeyType::kString && keys_file_.is_damaged()) damaged = &keys_file_;
  if (index_ && index_->file().is_damaged()) damaged = &index_->file();
  if (damaged == nullptr) [[likely]]
    return OkStatus();
  Status status = Error(StatusCode::kUnavailable,
                        "{} cannot be read any more: it was made shorter, or the disk has failed",
                        damaged->path());
  ReportBroken(status);
  return status;
}

void MmapStore::SetBrokenCallback(core::BrokenCallback callback) {
  MutexLock lock(mutex_);
  if (!broken_.ok()) return callback(broken_);
  broken_callback_ = std::move(callback);
}

void MmapStore::ReportBroken(const Status& status) {
  core::BrokenCallback callback;
  {
    MutexLock lock(mutex_);
    if (!broken_.ok()) return;
    broken_ = status;
    callback = broken_callback_;
  }
  if (callback) callback(status);
}

void MmapStore::Copy(const Lookup& lookup, const Chunk& chunk, const uint32_t* rows) const {
  const std::byte* const data = rows_file_.data() + rows_begin_;
  const size_t bytes = info_.row_bytes;
  const size_t ahead_bytes = std::min(bytes, kBytesAheadMax);
  const auto ask_for = [&](uint32_t row) {
    if (row == kNoRow) return;
    const std::byte* const begin = data + row * bytes;
    // A row may begin in the middle of a line.
    const std::byte* line = begin - reinterpret_cast<uintptr_t>(begin) % kLineBytes;
    for (; line < begin + ahead_bytes; line += kLineBytes) Prefetch(line);
  };
  for (size_t i = 0; i < std::min(kRowsAhead, chunk.count); ++i) ask_for(rows[i]);
  std::byte* to = lookup.rows + chunk.first * bytes;
  for (size_t i = 0; i < chunk.count; ++i, to += bytes) {
    if (i + kRowsAhead < chunk.count) ask_for(rows[i + kRowsAhead]);
    lookup.found[chunk.first + i] = rows[i] != kNoRow;
    if (rows[i] != kNoRow) std::memcpy(to, data + rows[i] * bytes, bytes);
  }
}

}  // namespace penstock::tables
