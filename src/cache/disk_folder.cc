// SPDX-License-Identifier: Apache-2.0
#include "cache/disk_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/log.h"

namespace penstock::cache {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kKeyKind = 5;  // of the messages of RowMac; row_mac.cc has the others

// What the file `key` has. The check finds a file that is damaged.
struct KeyFile {
  MacKey key;
  RowKey check;
};

RowKey CheckOf(const MacKey& key) {
  RowMac mac(key);
  mac.AddNumber(kKeyKind);
  return mac.Finish();
}

Status FolderError(std::string_view what, const std::string& path) {
  return Error(StatusCode::kInternal, "cannot {} {}: {}", what, path,
               std::generic_category().message(errno));
}

// True if a database makes files of this name.
bool IsOfDatabase(const std::string& name) {
  constexpr std::array<std::string_view, 4> kNames = {"CURRENT", "IDENTITY", "LOCK", "LOG"};
  constexpr std::array<std::string_view, 3> kBeginnings = {"LOG.old.", "MANIFEST-", "OPTIONS-"};
  constexpr std::array<std::string_view, 3> kEndings = {".sst", ".log", ".dbtmp"};
  return std::ranges::find(kNames, name) != kNames.end() ||
         std::ranges::any_of(kBeginnings, [&](auto text) { return name.starts_with(text); }) ||
         std::ranges::any_of(kEndings, [&](auto text) { return name.ends_with(text); });
}

}  // namespace

DiskFolder::~DiskFolder() {
  if (lock_file_ >= 0) ::close(lock_file_);
}

Status DiskFolder::Open(MacKey& key) {
  TRY(Lock());
  TRY(MakeRows());
  return ReadKey(key);
}

Status DiskFolder::Lock() {
  std::error_code ignored;  // the next call fails, too
  fs::create_directories(fs::path(path_).parent_path(), ignored);
  if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) return FolderError("make", path_);
  const std::string path = path_ + "/lock";
  lock_file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_file_ < 0) return FolderError("open", path);
  if (::flock(lock_file_, LOCK_EX | LOCK_NB) == 0) return OkStatus();
  if (errno == EWOULDBLOCK)
    return Error(StatusCode::kUnavailable, "another server uses the folder {}", path_);
  return FolderError("lock", path);
}

// The database makes its files readable for all, so nobody else may enter their folder.
Status DiskFolder::MakeRows() const {
  if (::mkdir(rows().c_str(), 0700) != 0 && errno != EEXIST) return FolderError("make", rows());
  struct stat info = {};
  if (::lstat(rows().c_str(), &info) != 0) return FolderError("read", rows());
  if (!S_ISDIR(info.st_mode))
    return Error(StatusCode::kFailedPrecondition, "{} is not a folder", rows());
  if ((info.st_mode & 077) != 0 && ::chmod(rows().c_str(), 0700) != 0) {
    PENSTOCK_LOG(kWarning, "others may read the row cache in {}: its permissions cannot be changed",
                 rows());
  }
  return OkStatus();
}

Status DiskFolder::ReadKey(MacKey& key) const {
  const std::string path = path_ + "/key";
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return FolderError("open", path);
  KeyFile found;
  char more = 0;
  const bool is_whole = ::read(file, &found, sizeof(found)) == sizeof(found) &&
                        ::read(file, &more, 1) == 0 && found.check == CheckOf(found.key);
  Status status;
  if (is_whole) {
    key = found.key;
  } else {
    std::error_code ignored;
    if (!fs::is_empty(rows(), ignored)) {
      PENSTOCK_LOG(kWarning, "the row cache in {} is made anew: its key is missing or damaged",
                   path_);
    }
    status = Clear();
    const KeyFile made = {key, CheckOf(key)};
    if (status.ok() &&
        (::ftruncate(file, 0) != 0 || ::pwrite(file, &made, sizeof(made), 0) != sizeof(made)))
      status = FolderError("write", path);
  }
  ::close(file);
  return status;
}

Status DiskFolder::Clear() const {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(rows(), error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (!entry->is_regular_file(error) || !IsOfDatabase(name)) {
      return Error(StatusCode::kFailedPrecondition,
                   "{} has something that is not of a row cache: '{}'. Name another folder, or "
                   "remove it",
                   rows(), name);
    }
    files.push_back(entry->path());
  }
  for (const fs::path& file : files) {
    if (!error) fs::remove(file, error);
  }
  if (error) return Error(StatusCode::kInternal, "cannot empty {}: {}", rows(), error.message());
  return OkStatus();
}

}  // namespace penstock::cache
