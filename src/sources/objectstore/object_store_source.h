// SPDX-License-Identifier: Apache-2.0
// A source for models in an S3 bucket: the versions are the numeric "folders" below a path.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/status.h"
#include "core/source.h"
#include "core/version_selection.h"
#include "sources/objectstore/look_turns.h"
#include "sources/objectstore/object_loader.h"
#include "sources/objectstore/version_look.h"

namespace penstock {

struct ObjectStoreModel {
  std::string name;
  std::string base_path;  // s3://bucket/path
  core::VersionSelection selection;
  uint64_t generation = 0;  // of its configuration, for reports to the target; 0: none
  std::set<core::VersionNumber> labelled = {};  // versions that are also wanted if they exist
};

struct ObjectStoreSourceOptions {
  Duration poll_period = std::chrono::seconds(60);  // 0: one scan after each SetModels
  // A version is complete when none of its objects has changed for this time.
  Duration settle_time = std::chrono::seconds(1);
  bool keeps_last_versions = false;
  std::string cache_folder;
  S3ClientOptions client;
  LookTurnOptions turns;
  MemoryEstimator estimate = nullptr;  // for versions that are not downloaded yet
};

// Lists the versions of its models periodically. Reports to the target when the set of wanted and
// complete versions changes, or when the objects of one change. A few buckets are listed at the
// same time, on threads of a pool; all other work is on the source's thread. The loaders download.
// Thread-safe.
class ObjectStoreSource final : public core::Source {
 public:
  // If `settings` is an error, Prepare returns it.
  ObjectStoreSource(ObjectStoreSourceOptions options, StatusOr<S3Settings> settings,
                    FolderLoaderFactory make_loader);
  ~ObjectStoreSource() override;

  // Opens the cache. Must succeed once before there are models. INVALID_ARGUMENT or
  // FAILED_PRECONDITION if the cache or the environment does not allow models from an object store.
  Status Prepare() EXCLUDES(mutex_);

  void Start(core::AspiredTarget& target) override;
  void Stop() override EXCLUDES(mutex_);

  // Replaces the list of models, as DirectorySource::SetModels. Errors: as Prepare and CheckModels.
  Status SetModels(std::vector<ObjectStoreModel> models) EXCLUDES(mutex_);
  // INVALID_ARGUMENT for a repeated name, a base path that is not the URL of a bucket, a count
  // below 1, or a negative version.
  static Status CheckModels(const std::vector<ObjectStoreModel>& models);

  // True if the last scan of the model found the version, wanted or not. The objects of old
  // versions are not listed; such a version is assumed to have some.
  bool HasVersion(const std::string& model, core::VersionNumber version) const EXCLUDES(mutex_);

 private:
  // The state of one model. Used only on the source's thread.
  struct Watched {
    ObjectStoreModel model;
    S3Location location;
    SeenVersions seen;        // as of the last scan; empty during a scan
    bool has_looked = false;  // a scan has succeeded
    bool was_told = false;
    std::map<core::VersionNumber, uint64_t> told;  // reported versions and their revisions
    std::map<core::VersionNumber, uint64_t> told_reserves;
    std::set<core::VersionNumber> told_for_labels;
    std::string left_out;  // the last warning about versions that are left out
    Status status;
    bool shall_tell_status = false;
    SteadyTime due;
    bool changed_since_look = false;  // since the running scan began
  };
  // A scan of one model, and its result.
  struct Look;

  void RunThread() EXCLUDES(mutex_);
  // Sleeps until a scan is due or has finished. Returns false to stop.
  bool Wait() EXCLUDES(mutex_);
  void TakeModels() EXCLUDES(mutex_);
  // Returns the model that has been due for longest and may be scanned now; null: none.
  Watched* NextToLookAt();
  void BeginLook(Watched& watched) EXCLUDES(mutex_);
  // Runs on a thread of the pool.
  void RunLook(Look& look) const;
  void TakeLooks() EXCLUDES(mutex_);
  // `is_due_again`: the scan lost its turn before it was done.
  void TakeLook(Watched& watched, Look& look, bool is_due_again) EXCLUDES(mutex_);
  // Handles the result of a scan for the configuration `generation`.
  void TakeFound(Watched& watched, StatusOr<FoundVersions> found, uint64_t generation)
      EXCLUDES(mutex_);
  // Explains why some versions, or all, are not wanted yet. Logs versions that are left out.
  Status StatusOf(Watched& watched, const FoundVersions& found) const;
  static void LogLeftOut(Watched& watched, std::string text);
  void NoteVersions(const std::string& model, const FoundVersions& found) EXCLUDES(mutex_);
  void Tell(Watched& watched, const FoundVersions& found, uint64_t generation) EXCLUDES(mutex_);
  StatusOr<std::unique_ptr<core::Loader>> MakeLoader(const Watched& watched,
                                                     core::VersionNumber version,
                                                     const std::string& prefix) EXCLUDES(mutex_);
  void TellStatus(Watched& watched, Status status, uint64_t generation);
  // Passes the wanted folders to the cache, which removes the others.
  void KeepFolders() EXCLUDES(mutex_);

  const ObjectStoreSourceOptions options_;
  const StatusOr<S3Settings> settings_;
  const FolderLoaderFactory make_loader_;
  std::atomic<bool> is_stopping_ = false;

  mutable Mutex mutex_;
  CondVar wake_;
  std::vector<ObjectStoreModel> models_ GUARDED_BY(mutex_);
  bool models_changed_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<const ObjectStore> store_ GUARDED_BY(mutex_);  // null before Prepare
  std::shared_ptr<VersionCache> cache_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Look>> looks_done_ GUARDED_BY(mutex_);
  // By model: the versions that its last scan found.
  std::map<std::string, std::set<core::VersionNumber>> versions_ GUARDED_BY(mutex_);

  // Set by Start, then used only on the source's thread.
  core::AspiredTarget* target_ = nullptr;
  std::map<std::string, Watched> watched_;
  LookTurns turns_;                      // the scans of one bucket run one after the other
  std::unique_ptr<ThreadPool> lookers_;  // null before the first scan
  std::thread thread_;
};

}  // namespace penstock
