// SPDX-License-Identifier: Apache-2.0
#include "base/os/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace penstock {
namespace {

Status Failed(std::string_view what, const std::string& path, int error) {
  return Error(StatusCode::kInternal, "cannot {} {}: {}", what, path, std::strerror(error));
}

bool WriteAll(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t bytes = write(file, text.data(), text.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) return false;
    text.remove_prefix(static_cast<size_t>(bytes));
  }
  return true;
}

Status WriteDurably(const std::string& path, std::string_view text) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return Failed("write", path, errno);
  // Sync before the rename. Otherwise, after a power cut, the name could lead to an empty file.
  // Read errno before close() can change it.
  const int error = WriteAll(file, text) && fsync(file) == 0 ? 0 : errno;
  close(file);
  return error == 0 ? OkStatus() : Failed("write", path, error);
}

// Syncs the folder: without that, a power cut could bring back the old file under this name.
Status SyncFolderOf(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  const int file = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return Failed("open the folder", folder, errno);
  // EINVAL: this file system does not support fsync on folders.
  const int error = fsync(file) == 0 || errno == EINVAL ? 0 : errno;
  close(file);
  return error == 0 ? OkStatus() : Failed("write the folder", folder, error);
}

}  // namespace

Status ReplaceFileDurably(const std::string& path, std::string_view text) {
  // The same folder, because a rename within one file system is atomic.
  const std::string temporary = path + ".new";
  Status status = WriteDurably(temporary, text);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0)
    status = Failed("rename " + temporary + " to", path, errno);
  if (status.ok()) return SyncFolderOf(path);
  unlink(temporary.c_str());  // free the space: the disk may be full
  return status;
}

}  // namespace penstock
