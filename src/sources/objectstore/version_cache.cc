// SPDX-License-Identifier: Apache-2.0
// What protects a folder from being removed. A folder stays while it is wanted (Keep) or used
// (Use). The path has the revision of the objects, so changed objects go to another folder, and a
// version that serves keeps its files until its last use ends. A download goes to a path with
// ".part", and gets its name when it is complete; so a folder without it is whole, also after a
// crash. Nothing is removed before all models were scanned once: until then nobody knows what is
// wanted of the last run.
#include "sources/objectstore/version_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/log.h"
#include "s3/aws_signature.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPart = ".part";
constexpr const char* kLockName = "lock";
constexpr const char* kSharedName = "content";
constexpr size_t kNameMax = 200;  // of an escaped base path; file systems allow 255

void RemoveAll(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) {
    PENSTOCK_LOG(kWarning, "cannot remove {}, which is not needed any more: {}", path.string(),
                 error.message());
  }
}

// Lists a folder; empty if it does not exist.
std::vector<fs::path> EntriesOf(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    entries.push_back(entry->path());
  }
  return entries;
}

}  // namespace

VersionCache::Use::Use(VersionCache& cache, std::string folder)
    : cache_(cache), folder_(std::move(folder)) {
  MutexLock lock(cache_.mutex_);
  ++cache_.uses_[folder_];
}

VersionCache::Use::~Use() { cache_.EndUse(folder_); }

StatusOr<std::unique_ptr<VersionCache>> VersionCache::Open(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return InvalidArgument("--model_cache_directory: cannot make the folder {}: {}", folder,
                           error.message());
  }
  const std::string lock_path = folder + "/" + kLockName;
  const int lock = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) {
    const char* const reason = std::strerror(errno);
    return InvalidArgument("--model_cache_directory: cannot write {}: {}", lock_path, reason);
  }
  // Two servers on one cache would remove each other's versions. The kernel drops the lock when the
  // process ends, even after a crash.
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    close(lock);
    return Error(StatusCode::kFailedPrecondition,
                 "--model_cache_directory: another process uses {}; each needs its own", folder);
  }
  return std::unique_ptr<VersionCache>(new VersionCache(folder, lock));
}

VersionCache::VersionCache(std::string folder, int lock)
    : folder_(std::move(folder)), lock_(lock), shared_files_(folder_ + "/" + kSharedName) {}

VersionCache::~VersionCache() { close(lock_); }

std::string VersionCache::BaseFolderOf(const std::string& base_path) const {
  const std::string name = UriEscape(base_path, /*keeps_slashes=*/false);
  // The escaped name, so that an operator can see what a folder holds. Base paths that are too long
  // get a hash.
  return folder_ + "/" + (name.size() <= kNameMax ? name : Sha256Hex(base_path));
}

std::string VersionCache::FolderOf(const std::string& base_path, core::VersionNumber version,
                                   uint64_t revision) const {
  return fmt::format("{}/{}.{:016x}", BaseFolderOf(base_path), version.value, revision);
}

void VersionCache::Keep(std::set<std::string> folders, bool is_all_known) {
  MutexLock lock(mutex_);
  kept_ = std::move(folders);
  may_remove_ = is_all_known;
  if (!may_remove_) return;
  for (const fs::path& place : EntriesOf(folder_)) {
    if (place.filename() == kLockName || place.filename() == kSharedName) continue;
    bool is_empty = true;
    for (const fs::path& entry : EntriesOf(place)) {
      std::string name = entry.string();
      if (name.ends_with(kPart)) name.resize(name.size() - kPart.size());
      const bool stays = kept_.contains(name) || uses_.contains(name);
      is_empty &= !stays;
      if (!stays) RemoveAll(entry);
    }
    std::error_code ignored;  // fails if a new version has just been added
    if (is_empty) fs::remove(place, ignored);
  }
  shared_files_.Clean();
}

void VersionCache::EndUse(const std::string& folder) {
  MutexLock lock(mutex_);
  const auto use = uses_.find(folder);
  if (--use->second > 0) return;
  uses_.erase(use);
  // Keep could not remove the folder while it was used, so that is done now.
  if (!may_remove_ || kept_.contains(folder)) return;
  RemoveAll(folder);
  RemoveAll(folder + std::string(kPart));
  shared_files_.Clean();
}

}  // namespace penstock
