// SPDX-License-Identifier: Apache-2.0
// A folder that is complete or not there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace penstock::tables {

// A file that is written from its start to its end, with its checksum. One thread at a time.
class OutputFile final {
 public:
  // If the file cannot be made, the first write says so.
  explicit OutputFile(std::string path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  Status Append(std::string_view bytes);
  // Writes what is left, and waits until all is on the disk.
  Status Finish();
  uint32_t checksum() const { return checksum_; }

 private:
  Status Write();
  Status CannotWrite() const;

  const std::string path_;
  const int file_;
  std::string buffer_;
  uint32_t checksum_ = 0;
};

// A folder under its temporary name: one with a dot, which no source takes for a version. Unless it
// was kept, the destructor removes it, and the folders above it that were made for it. One thread
// at a time.
class UnfinishedFolder final {
 public:
  explicit UnfinishedFolder(const std::filesystem::path& final_path);
  ~UnfinishedFolder();
  UnfinishedFolder(const UnfinishedFolder&) = delete;
  UnfinishedFolder& operator=(const UnfinishedFolder&) = delete;

  Status Make();
  // Gives it its own name, when all is on the disk.
  Status Keep();
  std::string operator/(std::string_view name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  const std::filesystem::path final_path_;
  std::filesystem::path path_;
  std::vector<std::filesystem::path> made_parents_;  // the innermost first
  bool is_kept_ = false;
};

}  // namespace penstock::tables
