// SPDX-License-Identifier: Apache-2.0
// Where downloaded versions lie: a folder on this machine's disk.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/mutex.h"
#include "base/status.h"
#include "core/servable.h"

namespace penstock {

// cache/PLACE/VERSION.REVISION, and the same with ".part" while it is being downloaded. PLACE is
// the base path that the versions come from, escaped. Belongs to one process. Thread-safe.
class VersionCache final {
 public:
  // Keeps a folder from being removed while it is downloaded and loaded. Thread-safe.
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

  // Makes the folder if it is not there. FAILED_PRECONDITION if another process has it; others if
  // it cannot be made or written.
  static StatusOr<std::unique_ptr<VersionCache>> Open(const std::string& folder);
  ~VersionCache();

  // Where the version lies once it is complete.
  std::string FolderOf(const std::string& base_path, core::VersionNumber version,
                       uint64_t revision) const;

  // The folders that are wanted. With `is_all_known` all else is removed, what is in use when it no
  // longer is; otherwise a folder of the last run may still turn out to be wanted.
  void Keep(std::set<std::string> folders, bool is_all_known) EXCLUDES(mutex_);

 private:
  VersionCache(std::string folder, int lock) : folder_(std::move(folder)), lock_(lock) {}

  std::string PlaceOf(const std::string& base_path) const;
  void EndUse(const std::string& folder) EXCLUDES(mutex_);

  const std::string folder_;
  const int lock_;  // a file that is locked
  Mutex mutex_;
  std::map<std::string, int> uses_ GUARDED_BY(mutex_);
  std::set<std::string> kept_ GUARDED_BY(mutex_);
  bool may_remove_ GUARDED_BY(mutex_) = false;
};

}  // namespace penstock
