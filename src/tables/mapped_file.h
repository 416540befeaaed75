// SPDX-License-Identifier: Apache-2.0
// A file in memory, by the page cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "tables/damage_guard.h"

namespace penstock::tables {

// A mapping of a whole file that is only read. All versions and processes that map the file share
// its pages. The destructor unmaps it. If the file gets shorter, or cannot be read, the process
// does not end: the bytes become zeros, and is_damaged is true. Immutable.
class MappedFile final {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  // Errors: NOT_FOUND, or INVALID_ARGUMENT for what is no regular file, with the path.
  static StatusOr<MappedFile> Open(const std::string& path);
  // Maps an open file, and closes it some day. `path` is for messages.
  static StatusOr<MappedFile> OfDescriptor(int file, const std::string& path);
  // `bytes` zeros that no file holds, to write to.
  static StatusOr<MappedFile> Anonymous(size_t bytes, const std::string& path);

  // Null if the file is empty.
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }
  // The open file; -1: it has none.
  int descriptor() const { return file_; }
  // Ask after each read of the bytes.
  bool is_damaged() const { return guard_ != nullptr && (guard_->is_damaged() || HasShrunk()); }
  // When the contents were changed last, in nanoseconds since 1970.
  int64_t changed_ns() const { return changed_ns_; }
  // Only of an anonymous one.
  std::byte* mutable_data() { return data_; }

  // The kernel reads no pages ahead: rows that are near each other are seldom wanted together. But
  // then it does not see either which pages are read again and again.
  void ExpectRandomReads() const;
  // Begins to read the pages of these bytes from the disk, and does not wait for them. They may be
  // of any mapped file.
  static void AskFor(const void* begin, size_t size);

 private:
  // The rest of the last page that is left reads as zeros, and nothing else tells.
  bool HasShrunk() const;

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  int64_t changed_ns_ = 0;
  std::string path_;
  int file_ = -1;
  std::unique_ptr<DamageGuard> guard_;  // null: the file is empty, or there is none
};

}  // namespace penstock::tables
