// SPDX-License-Identifier: Apache-2.0
// The folder on this machine's disk that holds downloaded versions.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/mutex.h"
#include "base/status.h"
#include "core/servable.h"
#include "sources/objectstore/shared_files.h"

namespace penstock {

// Uses the paths cache/BASE/VERSION.REVISION, with ".part" appended during the download. BASE is
// the escaped base path of the versions. The revision is a part of the path, so changed objects get
// a new folder, and a version that is served keeps its files.
//
//   const std::string folder = cache->FolderOf("s3://bucket/m", {1}, revision);
//   const VersionCache::Use use(*cache, folder);   // before the folder is looked for
//   if (!exists(folder)) { Download(folder + ".part"); rename(folder + ".part", folder); }
//   Load(folder);
//
// One process owns the cache, which a lock on a file ensures. Thread-safe.
class VersionCache final {
 public:
  // While it exists, the cache does not remove the folder: it is being downloaded or loaded.
  // Thread-safe.
  class Use final {
   public:
    Use(VersionCache& cache, std::string folder);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    VersionCache& cache_;
    const std::string folder_;
  };

  // Creates the folder if it does not exist. FAILED_PRECONDITION if another process uses it; other
  // errors if it cannot be created or written.
  static StatusOr<std::unique_ptr<VersionCache>> Open(const std::string& folder);
  ~VersionCache();

  // The path of the complete version.
  std::string FolderOf(const std::string& base_path, core::VersionNumber version,
                       uint64_t revision) const;

  // Sets the wanted folders. With `is_all_known` removes all others; those in use are removed when
  // their use ends. Without it nothing is removed: a folder of the last run may still turn out to
  // be wanted.
  void Keep(std::set<std::string> folders, bool is_all_known) EXCLUDES(mutex_);

  // The files that versions share.
  const SharedFiles& shared_files() const { return shared_files_; }

 private:
  VersionCache(std::string folder, int lock);

  std::string BaseFolderOf(const std::string& base_path) const;
  void EndUse(const std::string& folder) EXCLUDES(mutex_);

  const std::string folder_;
  const int lock_;  // a locked file
  const SharedFiles shared_files_;
  Mutex mutex_;
  std::map<std::string, int> uses_ GUARDED_BY(mutex_);
  std::set<std::string> kept_ GUARDED_BY(mutex_);
  bool may_remove_ GUARDED_BY(mutex_) = false;
};

}  // namespace penstock
