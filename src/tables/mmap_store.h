// SPDX-License-Identifier: Apache-2.0
// A store over the files of a version folder, which are mapped into memory.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "base/mutex.h"
#include "base/status.h"
#include "tables/hot_rows.h"
#include "tables/key_index.h"
#include "tables/manifest.h"
#include "tables/mapped_file.h"
#include "tables/residence.h"
#include "tables/store.h"

namespace penstock::tables {

// Rows in one file, one behind the other, and an index of their keys. Takes nearly no memory of its
// own: the page cache holds what is used, once for all versions and processes. But while
// requests wait for the disk, a cache keeps rows that are wanted often: the kernel does not see
// which they are. Thread-safe.
class MmapStore final : public Store {
 public:
  // Opens the files of `folder`, and makes the index if there is none. Errors: those of
  // KeyIndex::OpenOrBuild; INVALID_ARGUMENT if the sizes of the files do not fit each other.
  static StatusOr<std::unique_ptr<MmapStore>> Open(const std::string& folder,
                                                   const Manifest& manifest,
                                                   const std::atomic<bool>& stop);

  ~MmapStore() override;

  // The most memory that the rows of such a file may take in the cache.
  static uint64_t CacheBytes(const Manifest& manifest, uint64_t file_bytes);

  // Reads all files that have a checksum, and compares it. Slow. Errors: those of CheckFile.
  Status Check(const std::atomic<bool>& stop) const;
  // Removes the file of the index if it is damaged, so that the next Open makes it again. Slow.
  // Returns false if it is not, or if there is none.
  bool RemoveDamagedIndex(const std::atomic<bool>& stop) const;
  // Calls Check on a thread of low priority, and reports an error as SetBrokenCallback says. Call
  // it at most once.
  void CheckInBackground();

  const StoreInfo& info() const override { return info_; }
  bool answers_in_find() const override { return true; }
  const std::atomic<int64_t>* inline_keys_max() const override {
    return &residence_.inline_keys_max();
  }
  void SetBrokenCallback(core::BrokenCallback callback) override EXCLUDES(mutex_);
  void Find(const Lookup& lookup, absl::AnyInvocable<void(Status)> done) override;

  // For whoever reads all rows, from the first to the last: their bytes, one behind the other, and
  // their keys, unless they are dense. REQUIRES: row < info().rows
  std::string_view AllRows() const {
    return rows_file_.text().substr(rows_begin_, info_.rows * info_.row_bytes);
  }
  // Begins to read `bytes` of them from the disk, and does not wait for them.
  void AskForRows(size_t begin, size_t bytes) const {
    MappedFile::AskFor(rows_file_.data() + rows_begin_ + begin, bytes);
  }
  int64_t NumberOf(uint64_t row) const { return keys_.numbers[row]; }
  std::string_view TextOf(uint64_t row) const { return index_->KeyOf(static_cast<uint32_t>(row)); }
  // UNAVAILABLE, which it also reports, if a file cannot be read any more.
  Status CheckFiles() EXCLUDES(mutex_);

 private:
  static constexpr size_t kChunkKeys = 64;

  Status OpenKeys(const std::string& path, const Manifest& manifest);
  Status OpenIndex(const std::string& path, const std::atomic<bool>& stop);
  // Decides how the bytes of the file are divided into rows. `keys`: there must be so many.
  Status DivideRows(const Manifest& manifest, std::optional<uint64_t> keys);
  Status DivideArray(const Manifest& manifest);
  // Some keys of a lookup, and their hashes.
  struct Chunk {
    size_t first = 0;
    size_t count = 0;
    std::array<uint64_t, kChunkKeys> hashes;
  };
  // Writes all rows. Returns true if it has waited for the disk.
  bool FindAll(const Lookup& lookup, size_t keys) const;
  // The same by the cache of hot rows, and by FindAll for those that it lacks.
  bool FindByCache(const Lookup& lookup, HotRows& hot) const;
  std::shared_ptr<HotRows> hot() EXCLUDES(mutex_);
  // Makes the cache when requests have waited often, and drops it when none waits any more.
  void ReviewCache(bool waited) EXCLUDES(mutex_);
  // Finds keys from the first one on, and copies their rows, until it has waited for the disk.
  // Returns how many are done.
  size_t FindInMemory(const Lookup& lookup, size_t keys, bool& waited) const;
  // The same for the keys from `first` on. Asks for all pages before it waits for one.
  void FindOnDisk(const Lookup& lookup, size_t first, size_t count) const;
  // Copies the rows that are in memory, and sets them to kNoRow. Begins to read the others. Returns
  // false if there are none.
  bool CopyResident(const Lookup& lookup, size_t first, std::span<uint32_t> rows) const;
  void Locate(const Lookup& lookup, Chunk& chunk) const;
  void FindRows(const Lookup& lookup, const Chunk& chunk, uint32_t* rows) const;
  // Of a table with dense keys.
  void FindNumbers(std::span<const int64_t> keys, uint32_t* rows) const;
  void Copy(const Lookup& lookup, const Chunk& chunk, const uint32_t* rows) const;
  void ReportBroken(const Status& status) EXCLUDES(mutex_);

  StoreInfo info_;
  MappedFile keys_file_;  // none: the keys are dense
  MappedFile rows_file_;
  KeyFile keys_;
  std::optional<uint32_t> rows_checksum_;
  std::optional<KeyIndex> index_;
  size_t rows_begin_ = 0;  // the offset of the first row in the file
  Residence residence_;
  uint64_t cache_bytes_ = 0;  // the most that hot rows may take
  Mutex mutex_;
  Status broken_ GUARDED_BY(mutex_);
  std::shared_ptr<HotRows> hot_ GUARDED_BY(mutex_);  // null: there is none now
  uint32_t waits_ GUARDED_BY(mutex_) = 0;            // since the table was warm
  core::BrokenCallback broken_callback_ GUARDED_BY(mutex_);
  std::atomic<bool> stops_{false};
  std::thread checker_;  // of CheckInBackground
};

}  // namespace penstock::tables
