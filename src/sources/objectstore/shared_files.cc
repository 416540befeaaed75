// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/shared_files.h"

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/log.h"
#include "s3/file_check.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

// Smaller ones are not worth the links: runtimes read them into memory of their own.
constexpr uint64_t kSharedBytesMin = 1 << 20;

// The large files of a version. Empty if it cannot be read.
std::vector<fs::path> LargeFilesOf(const std::string& version_folder) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(version_folder, error);
  for (const fs::recursive_directory_iterator end; !error && entry != end; entry.increment(error)) {
    if (entry->is_regular_file(error) && entry->file_size(error) >= kSharedBytesMin)
      files.push_back(entry->path());
  }
  return files;
}

}  // namespace

SharedFiles::SharedFiles(std::string folder) : folder_(std::move(folder)) {
  // Links that a process has left that was killed: their names have a dot.
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    std::error_code ignored;
    if (entry.path().has_extension()) fs::remove(entry.path(), ignored);
  }
}

void SharedFiles::Share(const std::string& version_folder,
                        const std::atomic<bool>& is_cancelled) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  uint64_t bytes = 0;
  for (const fs::path& path : LargeFilesOf(version_folder)) {
    const StatusOr<std::string> hash = Sha256OfFile(path, is_cancelled);
    if (!hash.ok()) return;
    const fs::path known = fs::path(folder_) / *hash;
    fs::create_hard_link(path, known, error);
    if (!error) continue;  // it is the first one with these contents
    if (error == std::errc::file_exists) Replace(path, known, error);
    if (!error) {
      bytes += fs::file_size(path, error);
      continue;
    }
    PENSTOCK_LOG(kWarning, "{} is not shared with other versions: {}", path.string(),
                 error.message());
  }
  if (bytes > 0)
    PENSTOCK_LOG(kInfo, "{}: {} bytes are shared with other versions", version_folder, bytes);
}

void SharedFiles::Replace(const std::string& path, const std::string& known,
                          std::error_code& error) const {
  // In two steps, so that there is a file at any time.
  const std::string link = fmt::format("{}.{}", known, next_link_.fetch_add(1));
  error.clear();
  fs::create_hard_link(known, link, error);
  if (error) return;
  fs::rename(link, path, error);
  // If both were one file already, the rename has done nothing.
  std::error_code ignored;
  fs::remove(link, ignored);
}

void SharedFiles::Clean() const {
  std::error_code error;
  fs::directory_iterator entry(folder_, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->hard_link_count(ignored) == 1) fs::remove(entry->path(), ignored);
  }
}

}  // namespace penstock
