// SPDX-License-Identifier: Apache-2.0
// A source for models in an S3 bucket: the versions are the numeric "folders" below a path.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/status.h"
#include "core/model_source.h"
#include "core/version_reporter.h"
#include "sources/objectstore/object_loader.h"
#include "sources/objectstore/object_store_options.h"
#include "sources/objectstore/scan_turns.h"
#include "sources/objectstore/version_scan.h"

namespace penstock {

// Lists the versions of its models periodically. Reports to the target when the set of wanted and
// complete versions changes, or when the objects of one change. A few buckets are listed at the
// same time, on threads of a pool; all other work is on the source's thread. The loaders download.
// Thread-safe.
class ObjectStoreSource final : public core::ModelSource {
 public:
  // Reads the settings of the store from the environment.
  ObjectStoreSource(ObjectStoreSourceOptions options, core::LoaderFactory make_loader);
  // If `settings` is an error, Check returns it for a list with models.
  ObjectStoreSource(ObjectStoreSourceOptions options, StatusOr<S3Settings> settings,
                    core::LoaderFactory make_loader);
  ~ObjectStoreSource() override;

  void Start(core::AspiredTarget& target) override;
  void Stop() override EXCLUDES(mutex_);

  std::string_view kind() const override { return "an object store"; }
  bool Matches(std::string_view base_path) const override;
  // Also INVALID_ARGUMENT for a base path that is not the URL of a bucket. Opens the cache before
  // there are models: INVALID_ARGUMENT or FAILED_PRECONDITION if the cache or the environment does
  // not allow models from an object store.
  Status Check(const std::vector<core::SourceModel>& models) override EXCLUDES(mutex_);
  Status SetModels(std::vector<core::SourceModel> models) override EXCLUDES(mutex_);
  // The answer of the last scan. It does not list the objects of old versions; such a version is
  // assumed to have some.
  std::optional<bool> HasVersion(const std::string& model, const std::string& base_path,
                                 core::VersionNumber version) const override EXCLUDES(mutex_);
  // UNIMPLEMENTED.
  StatusOr<std::map<core::VersionNumber, std::string>> ListVersions(
      const std::string& base_path) const override;
  std::string WhyIncomplete(const std::string&) const override { return ""; }

 private:
  // The state of one model. Used only on the source's thread.
  struct Watched {
    core::SourceModel model;
    S3Location location;
    SeenVersions seen;     // as of the last scan; empty during a scan
    std::string left_out;  // the last warning about versions that are left out
    std::string absent;    // the last warning about versions that are not there
    SteadyTime due;        // of the next scan
  };
  // A scan of one model, and its result. It belongs to a thread of the pool until it is in
  // scans_done_.
  struct Scan;
  // The versions that the last scan of a base path has found.
  struct KnownVersions {
    std::string base_path;
    std::set<core::VersionNumber> versions;
  };

  // Opens the cache. Must succeed once before there are models.
  Status Prepare() EXCLUDES(mutex_);
  void RunThread() EXCLUDES(mutex_);
  // Sleeps until a scan is due or has finished. Returns false to stop.
  bool Wait() EXCLUDES(mutex_);
  void TakeModels() EXCLUDES(mutex_);
  // Returns the model that has been due for longest and may be scanned now; null: none.
  Watched* NextToScan();
  void BeginScan(Watched& watched) EXCLUDES(mutex_);
  // Runs on a thread of the pool.
  void RunScan(Scan& scan) const;
  void TakeScans() EXCLUDES(mutex_);
  // Handles the result of a scan. `is_due_again`: the scan lost its turn before it was done.
  void TakeScan(Watched& watched, Scan& scan, bool is_due_again) EXCLUDES(mutex_);
  void TakeFound(Watched& watched, const core::VersionReporter::Ticket& ticket,
                 const ScannedVersions& found) EXCLUDES(mutex_);
  // Explains why some versions, or all, are not wanted yet. Logs versions that are left out. If a
  // version may soon be complete, it makes the model due for an early scan.
  Status StatusOf(Watched& watched, const ScannedVersions& found,
                  const core::IncompleteVersions& incomplete) const;
  // Logs `text` if it is not empty and differs from `last`, which becomes `text`.
  static void LogChange(const Watched& watched, std::string& last, std::string text);
  void NoteVersions(const Watched& watched, const ScannedVersions& found) EXCLUDES(mutex_);
  StatusOr<std::unique_ptr<core::Loader>> MakeLoader(const Watched& watched,
                                                     core::VersionNumber version,
                                                     const std::string& prefix) EXCLUDES(mutex_);
  // Passes the wanted folders to the cache, which removes the others.
  void KeepFolders() EXCLUDES(mutex_);

  const ObjectStoreSourceOptions options_;
  const StatusOr<S3Settings> settings_;
  const core::LoaderFactory make_loader_;
  std::atomic<bool> is_stopping_ = false;

  mutable Mutex mutex_;
  CondVar wake_;
  std::vector<core::SourceModel> models_ GUARDED_BY(mutex_);
  bool models_changed_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<const ObjectStore> store_ GUARDED_BY(mutex_);  // null before Prepare
  std::shared_ptr<VersionCache> cache_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Scan>> scans_done_ GUARDED_BY(mutex_);
  std::map<std::string, KnownVersions> versions_ GUARDED_BY(mutex_);  // by model

  // Set by Start, then used only on the source's thread.
  std::optional<core::VersionReporter> reporter_;
  std::map<std::string, Watched> watched_;
  ScanTurns turns_;                       // the scans of one bucket run one after the other
  std::unique_ptr<ThreadPool> scanners_;  // null before the first scan
  std::thread thread_;
};

}  // namespace penstock
