// SPDX-License-Identifier: Apache-2.0
// The file is made under another name, and gets its own when it is whole and on the disk: a reader
// sees all of it or none. The blocks are allocated first, because a full disk would else end the
// process when a page of the mapping is written. A lock on the unfinished file makes other
// processes wait; it ends with its process.
#include "tables/index_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "base/encoding/crc32c.h"
#include "base/log.h"
#include "tables/key_hash.h"
#include "tables/prefetch.h"

namespace penstock::tables {
namespace {

constexpr std::array<char, 8> kMagic = {'P', 'S', 'T', 'K', 'K', 'E', 'Y', 'S'};
constexpr uint32_t kVersion = 1;
constexpr uint64_t kKeysPerBucket = 3;
// So far a key is never from its bucket, unless somebody has chosen the keys for it.
constexpr uint64_t kChainMax = 1000;
constexpr size_t kKeysAhead = 16;  // whose buckets are asked for before they are written
constexpr uint64_t kKeysPerStopCheck = 1 << 16;
constexpr auto kLockRetry = std::chrono::milliseconds(20);

static_assert(std::endian::native == std::endian::little, "files are mapped as they are");

uint64_t CountLines(std::string_view text) {
  const auto ends = static_cast<uint64_t>(std::ranges::count(text, '\n'));
  return ends + (text.empty() || text.ends_with('\n') ? 0 : 1);
}

uint64_t BodyBytes(KeyType type, uint64_t rows, uint64_t buckets) {
  const uint64_t offsets = type == KeyType::kString ? (rows + 1) * sizeof(uint64_t) : 0;
  return buckets * sizeof(IndexBucket) + offsets;
}

uint32_t ChecksumOf(const IndexHeader& header) {
  return Crc32c({reinterpret_cast<const char*>(&header), offsetof(IndexHeader, header_checksum)});
}

Status NotTheIndex(std::string_view why) {
  return Error(StatusCode::kFailedPrecondition, "{}", why);
}

// Fills the memory of an index. One thread at a time.
class IndexWriter final {
 public:
  IndexWriter(const KeyFile& keys, uint64_t rows) : keys_(keys), rows_(rows) {}

  uint64_t buckets() const { return rows_ / kKeysPerBucket + 1; }
  uint64_t bytes() const { return sizeof(IndexHeader) + BodyBytes(keys_.type, rows_, buckets()); }
  // `memory` has bytes() zeros.
  Status Write(std::byte* memory, const std::atomic<bool>& stop) {
    buckets_ = reinterpret_cast<IndexBucket*>(memory + sizeof(IndexHeader));
    offsets_ = reinterpret_cast<uint64_t*>(buckets_ + buckets());
    checksum_ = Crc32c(keys_.file->text());
    if (keys_.checksum && *keys_.checksum != checksum_)
      return InvalidArgument("{} is damaged: its checksum is crc32c:{:08x}, and not crc32c:{:08x}",
                             keys_.file->path(), checksum_, *keys_.checksum);
    TRY(keys_.type == KeyType::kString ? WriteStrings(stop) : WriteNumbers(stop));
    WriteHeader(memory);
    return OkStatus();
  }

 private:
  Status WriteNumbers(const std::atomic<bool>& stop) {
    const std::span<const int64_t> keys = keys_.numbers;
    for (uint64_t row = 0; row < rows_; ++row) {
      if (row % kKeysPerStopCheck == 0 && stop.load(std::memory_order_relaxed)) return Stopped();
      if (row + kKeysAhead < rows_)
        Prefetch(&buckets_[BucketOfHash(HashKey(keys[row + kKeysAhead]), buckets())]);
      TRY(Insert(HashKey(keys[row]), static_cast<uint64_t>(keys[row]), row));
    }
    return OkStatus();
  }

  Status WriteStrings(const std::atomic<bool>& stop) {
    const std::string_view text = keys_.text;
    uint64_t begin = 0;
    for (uint64_t row = 0; row < rows_; ++row) {
      if (row % kKeysPerStopCheck == 0 && stop.load(std::memory_order_relaxed)) return Stopped();
      const uint64_t end = std::min<uint64_t>(text.find('\n', begin), text.size());
      offsets_[row] = begin;
      offsets_[row + 1] = end + 1;
      const uint64_t hash = HashKey(text.substr(begin, end - begin));
      TRY(Insert(hash, hash, row));
      begin = end + 1;
    }
    return OkStatus();
  }

  Status Insert(uint64_t hash, uint64_t stored, uint64_t row) {
    if (hash % keys_.shard.count != keys_.shard.index)
      return InvalidArgument("{}: the key {} of row {} belongs to shard {}, not to {} of {}",
                             keys_.file->path(), KeyText(row), row, hash % keys_.shard.count,
                             keys_.shard.index, keys_.shard.count);
    uint64_t at = BucketOfHash(hash, buckets());
    for (uint64_t chain = 0; chain <= kChainMax; ++chain) {
      IndexBucket& bucket = buckets_[at];
      for (size_t i = 0; i < bucket.count; ++i) {
        if (bucket.keys[i] == stored && IsSameKey(bucket.rows[i], row))
          return InvalidArgument("{}: the key {} is there twice, in rows {} and {}",
                                 keys_.file->path(), KeyText(row), bucket.rows[i], row);
      }
      if (bucket.count < kBucketKeys) {
        bucket.keys[bucket.count] = stored;
        bucket.rows[bucket.count++] = static_cast<uint32_t>(row);
        chain_max_ = std::max(chain_max_, chain);
        return OkStatus();
      }
      bucket.has_overflown = 1;
      at = at + 1 == buckets() ? 0 : at + 1;
    }
    return InvalidArgument("{}: too many keys have nearly the same hash as the key {} of row {}",
                           keys_.file->path(), KeyText(row), row);
  }

  std::string_view Line(uint64_t row) const {
    return keys_.text.substr(offsets_[row], offsets_[row + 1] - 1 - offsets_[row]);
  }
  // Of two keys with equal hashes.
  bool IsSameKey(uint64_t row, uint64_t other) const {
    return keys_.type != KeyType::kString || Line(row) == Line(other);
  }
  std::string KeyText(uint64_t row) const {
    return keys_.type == KeyType::kString ? fmt::format("'{:.40}'", Line(row))
                                          : fmt::format("{}", keys_.numbers[row]);
  }
  static Status Stopped() { return absl::CancelledError("the load was stopped"); }

  void WriteHeader(std::byte* memory) const {
    const uint64_t body = bytes() - sizeof(IndexHeader);
    IndexHeader header = {};
    header.magic = kMagic;
    header.version = kVersion;
    header.key_type = static_cast<uint32_t>(keys_.type);
    header.rows = rows_;
    header.buckets = buckets();
    header.chain_max = chain_max_;
    header.keys_bytes = keys_.file->size();
    header.keys_changed_ns = keys_.file->changed_ns();
    header.keys_checksum = checksum_;
    header.body_checksum = Crc32c({reinterpret_cast<const char*>(memory + sizeof(header)), body});
    header.shard_index = keys_.shard.index;
    header.shard_count = keys_.shard.count;
    header.header_checksum = ChecksumOf(header);
    std::memcpy(memory, &header, sizeof(header));
  }

  const KeyFile& keys_;
  const uint64_t rows_;
  IndexBucket* buckets_ = nullptr;
  uint64_t* offsets_ = nullptr;  // of string keys
  uint64_t chain_max_ = 0;
  uint32_t checksum_ = 0;
};

// The file under its temporary name, while this process makes it. Removes it unless it was kept.
// One thread at a time.
class UnfinishedFile final {
 public:
  explicit UnfinishedFile(std::string path) : path_(std::move(path)) {}
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;
  ~UnfinishedFile() {
    // Before it is closed, so that nobody finds it unlocked.
    if (is_locked_ && !is_kept_ && unlink(path_.c_str()) == 0) RestoreFolderTime();
    if (file_ >= 0) close(file_);
  }

  // Opens and locks it. Waits for a process that has it. UNAVAILABLE: it cannot be made here.
  Status Open(const std::atomic<bool>& stop) {
    NoteFolderTime();
    for (;;) {
      file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
      if (file_ < 0) return CannotWrite();
      while (flock(file_, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return CannotWrite();
        if (stop.load(std::memory_order_relaxed))
          return absl::CancelledError("the load was stopped");
        std::this_thread::sleep_for(kLockRetry);
      }
      // Who had it may have given the file its own name, or removed it.
      struct stat mine = {}, there = {};
      if (fstat(file_, &mine) == 0 && stat(path_.c_str(), &there) == 0 &&
          mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) {
        is_locked_ = true;
        return OkStatus();
      }
      close(std::exchange(file_, -1));
    }
  }

  // Makes it so many zeros.
  Status Allocate(uint64_t bytes) {
    if (ftruncate(file_, 0) != 0) return CannotWrite();
    const int error = posix_fallocate(file_, 0, static_cast<off_t>(bytes));
    if (error == 0) return OkStatus();
    errno = error;
    return CannotWrite();
  }

  // Writes it to the disk, and gives it its own name.
  Status Keep(const std::string& path) {
    if (fsync(file_) != 0 || rename(path_.c_str(), path.c_str()) != 0) return CannotWrite();
    is_kept_ = true;
    // The table keeps the file open, and with it the lock, for which others may wait.
    flock(file_, LOCK_UN);
    return OkStatus();
  }

  int descriptor() const { return file_; }

 private:
  // Nothing is left of a file that was not kept. If the folder looked changed, its version would be
  // loaded again and again.
  void NoteFolderTime() {
    struct stat folder = {};
    if (stat(folder_.c_str(), &folder) == 0) folder_time_ = folder.st_mtim;
  }
  void RestoreFolderTime() const {
    if (!folder_time_) return;
    const std::array<timespec, 2> times = {timespec{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                                           *folder_time_};
    utimensat(AT_FDCWD, folder_.c_str(), times.data(), 0);
  }
  Status CannotWrite() const {
    return Error(StatusCode::kUnavailable, "cannot write {}: {}", path_, std::strerror(errno));
  }

  const std::string path_;
  const std::string folder_ = std::filesystem::path(path_).parent_path();
  std::optional<timespec> folder_time_;  // before there was the file
  int file_ = -1;
  bool is_locked_ = false;
  bool is_kept_ = false;
};

// Writes the index into the file, which must be allocated.
Status WriteTo(int file, IndexWriter& writer, const std::atomic<bool>& stop) {
  const uint64_t bytes = writer.bytes();
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED)
    return Error(StatusCode::kUnavailable, "cannot map the file: {}", std::strerror(errno));
  const Status status = writer.Write(static_cast<std::byte*>(memory), stop);
  munmap(memory, bytes);
  return status;
}

StatusOr<MappedFile> BuildOnDisk(const KeyFile& keys, const std::string& path, uint64_t rows,
                                 const std::atomic<bool>& stop) {
  UnfinishedFile file(path + ".new");
  TRY(file.Open(stop));
  // Another process may have made it while this one waited.
  if (StatusOr<MappedFile> made = MappedFile::Open(path);
      made.ok() && CheckIndexFile(keys, *made).ok())
    return made;
  IndexWriter writer(keys, rows);
  TRY(file.Allocate(writer.bytes()));
  TRY(WriteTo(file.descriptor(), writer, stop));
  TRY(file.Keep(path));
  return MappedFile::OfDescriptor(dup(file.descriptor()), path);
}

}  // namespace

Status CheckIndexFile(const KeyFile& keys, const MappedFile& file) {
  IndexHeader header;
  if (file.size() < sizeof(header)) return NotTheIndex("it is too short");
  std::memcpy(&header, file.data(), sizeof(header));
  if (header.magic != kMagic) return NotTheIndex("it is no index");
  if (header.version != kVersion) return NotTheIndex("it has another format");
  if (header.header_checksum != ChecksumOf(header)) return NotTheIndex("it is damaged");
  if (header.key_type != static_cast<uint32_t>(keys.type) ||
      header.shard_index != keys.shard.index || header.shard_count != keys.shard.count)
    return NotTheIndex("it is of another table");
  // A copy of the folder has files of another time, so a checksum goes before it.
  const bool is_same = header.keys_changed_ns == keys.file->changed_ns() ||
                       (keys.checksum && *keys.checksum == header.keys_checksum);
  if (header.keys_bytes != keys.file->size() || !is_same)
    return NotTheIndex("the keys have changed");
  // Small numbers first, so that no product overflows.
  if (header.rows > kRowsMax || header.buckets != header.rows / kKeysPerBucket + 1 ||
      header.chain_max > kChainMax ||
      file.size() != sizeof(header) + BodyBytes(keys.type, header.rows, header.buckets))
    return NotTheIndex("it is not complete");
  if (keys.type == KeyType::kInt64 && header.rows != keys.numbers.size())
    return NotTheIndex("it has another number of keys");
  return OkStatus();
}

StatusOr<MappedFile> BuildIndexFile(const KeyFile& keys, const std::string& path,
                                    const Status& reason, const std::atomic<bool>& stop) {
  const uint64_t rows = keys.type == KeyType::kString ? CountLines(keys.text) : keys.numbers.size();
  if (rows > kRowsMax)
    return InvalidArgument("{} has {} keys; a table has at most {}: divide it into shards",
                           keys.file->path(), rows, kRowsMax);
  if (reason.code() == StatusCode::kNotFound) {
    PENSTOCK_LOG(kDebug, "{} is made, for {} keys", path, rows);
  } else {
    PENSTOCK_LOG(kInfo, "{} is made again: {}", path, MessageOf(reason));
  }
  StatusOr<MappedFile> file = BuildOnDisk(keys, path, rows, stop);
  if (file.status().code() != StatusCode::kUnavailable) return file;
  IndexWriter writer(keys, rows);
  PENSTOCK_LOG(kWarning, "{}: so the index is made anew at each load, and takes {} bytes of memory",
               MessageOf(file.status()), writer.bytes());
  ASSIGN_OR_RETURN(MappedFile memory, MappedFile::Anonymous(writer.bytes(), path));
  TRY(writer.Write(memory.mutable_data(), stop));
  return memory;
}

}  // namespace penstock::tables
