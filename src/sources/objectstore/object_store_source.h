// SPDX-License-Identifier: Apache-2.0
// The versions of a model are the numeric "folders" below a path in an S3 bucket.
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
  uint64_t generation = 0;                      // of its configuration, told to the target; 0: none
  std::set<core::VersionNumber> labelled = {};  // versions that are wanted, too, if they are there
};

struct ObjectStoreSourceOptions {
  Duration poll_period = std::chrono::seconds(60);  // 0: one look after each SetModels
  // A version is complete when no object of it has changed for this time.
  Duration settle_time = std::chrono::seconds(1);
  bool keeps_last_versions = false;
  std::string cache_folder;
  S3ClientOptions client;
  LookTurnOptions turns;
  MemoryEstimator estimate = nullptr;  // of versions that are not downloaded yet
};

// Lists the versions of its models from time to time, and tells the target when the set of wanted
// and complete ones, or the objects of one, changed. A few buckets are listed at a time, on threads
// of their own; all else happens on the source's thread. The loaders download. Thread-safe.
class ObjectStoreSource final : public core::Source {
 public:
  // `settings` may be an error, which Prepare then tells.
  ObjectStoreSource(ObjectStoreSourceOptions options, StatusOr<S3Settings> settings,
                    FolderLoaderFactory make_loader);
  ~ObjectStoreSource() override;

  // Opens the cache; needed once before there are models. INVALID_ARGUMENT or FAILED_PRECONDITION
  // if that, or what the environment says, does not allow to serve from an object store.
  Status Prepare() EXCLUDES(mutex_);

  void Start(core::AspiredTarget& target) override;
  void Stop() override EXCLUDES(mutex_);

  // The complete list of models; as DirectorySource::SetModels. Errors: as Prepare and CheckModels.
  Status SetModels(std::vector<ObjectStoreModel> models) EXCLUDES(mutex_);
  // INVALID_ARGUMENT for a repeated name, a base path that is no URL of a bucket, a count below 1,
  // a negative version.
  static Status CheckModels(const std::vector<ObjectStoreModel>& models);

  // True if the last look at the model found the version, wanted or not. Of a folder whose objects
  // were not listed, as they are not for old versions, it is taken for granted that there are some.
  bool HasVersion(const std::string& model, core::VersionNumber version) const EXCLUDES(mutex_);

 private:
  // What is known of one model. Only on the source's thread.
  struct Watched {
    ObjectStoreModel model;
    S3Location location;
    SeenVersions seen;        // as of the last look; empty while there is one
    bool has_looked = false;  // and found out what there is
    bool was_told = false;
    std::map<core::VersionNumber, uint64_t> told;  // versions and their revisions
    std::map<core::VersionNumber, uint64_t> told_reserves;
    std::set<core::VersionNumber> told_for_labels;
    std::string left_out;  // which version was last said to be left out, and why
    Status status;
    bool shall_tell_status = false;
    SteadyTime due;
    bool changed_since_look = false;  // while there is one
  };
  // A look at one model, and what it found.
  struct Look;

  void RunThread() EXCLUDES(mutex_);
  // Sleeps until it is time for a look, or one is done. False: stop.
  bool Wait() EXCLUDES(mutex_);
  void TakeModels() EXCLUDES(mutex_);
  // The one that has been due for longest; null: none is that a look may begin at.
  Watched* NextToLookAt();
  void BeginLook(Watched& watched) EXCLUDES(mutex_);
  // On a looker's thread.
  void RunLook(Look& look) const;
  void TakeLooks() EXCLUDES(mutex_);
  // `is_due_again`: it ended before its time.
  void TakeLook(Watched& watched, Look& look, bool is_due_again) EXCLUDES(mutex_);
  // What was found for the configuration `generation`.
  void TakeFound(Watched& watched, StatusOr<FoundVersions> found, uint64_t generation)
      EXCLUDES(mutex_);
  // Why some versions are not wanted yet, or none is. Logs which ones are left out.
  Status StatusOf(Watched& watched, const FoundVersions& found) const;
  static void LogLeftOut(Watched& watched, std::string text);
  void NoteVersions(const std::string& model, const FoundVersions& found) EXCLUDES(mutex_);
  void Tell(Watched& watched, const FoundVersions& found, uint64_t generation) EXCLUDES(mutex_);
  StatusOr<std::unique_ptr<core::Loader>> MakeLoader(const Watched& watched,
                                                     core::VersionNumber version,
                                                     const std::string& prefix) EXCLUDES(mutex_);
  void TellStatus(Watched& watched, Status status, uint64_t generation);
  // Tells the cache what is wanted.
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
  // By model, what its last look found.
  std::map<std::string, std::set<core::VersionNumber>> versions_ GUARDED_BY(mutex_);

  // Set by Start, then only on the source's thread.
  core::AspiredTarget* target_ = nullptr;
  std::map<std::string, Watched> watched_;
  LookTurns turns_;                      // models of one bucket wait for each other
  std::unique_ptr<ThreadPool> lookers_;  // null before the first look
  std::thread thread_;
};

}  // namespace penstock
