// SPDX-License-Identifier: Apache-2.0
// Keeps equal files of downloaded versions only once.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

namespace penstock {

// Gives large files with the same contents, of any versions and models, the same inode: so they
// take the disk once, and as mapped files the memory once. The folder has a hard link to each of
// them, with the SHA-256 of its contents as its name. Nobody writes to a file that is shared.
// Thread-safe.
class SharedFiles final {
 public:
  // `folder` is made when it is needed, and belongs to this object alone. It must be on the file
  // system of the versions.
  explicit SharedFiles(std::string folder);

  // Looks for the files of a complete version among those that it knows, and replaces them. Reads
  // them, so it takes about a second for a gigabyte; it ends early if `is_cancelled`. A file that
  // cannot be shared, because the file system has no hard links for one, stays as it is.
  void Share(const std::string& version_folder, const std::atomic<bool>& is_cancelled) const;
  // Forgets the files that no version has any more.
  void Clean() const;

 private:
  // Makes `path` a link to `known`. Both have the same contents.
  void Replace(const std::string& path, const std::string& known, std::error_code& error) const;

  const std::string folder_;
  mutable std::atomic<uint64_t> next_link_{0};
};

}  // namespace penstock
