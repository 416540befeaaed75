// SPDX-License-Identifier: Apache-2.0
// A source for models on disk: the versions are the numeric folders below the base path, as in
// TensorFlow Serving.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "core/source.h"
#include "sources/directory/folder_watches.h"
#include "sources/directory/model_look.h"
#include "sources/directory/settling.h"
#include "sources/directory/wake_event.h"

namespace penstock {

// Makes the loader of the version in the folder `path`. The source's thread calls it when a version
// becomes aspired and when its files have changed. So it must be quick, and leave reading the model
// to the loader.
using DirectoryLoaderFactory = std::function<StatusOr<std::unique_ptr<core::Loader>>(
    const core::ServableId& id, const std::string& path)>;

struct DirectorySourceOptions {
  // Time between two polls of the base paths. 0: one scan after each SetModels; < 0: no scan at
  // all. Where the kernel reports changes, they are seen at once, and polls are ten times rarer.
  Duration poll_period = std::chrono::seconds(1);
  // Decides when a version that is being copied is complete.
  SettlingOptions settling;
  // When a base path has no version left, keep the last versions, as if it could not be read.
  bool keeps_last_versions = false;
  size_t watches_max = 100'000;  // 0: the kernel reports no changes, only polls find them
};

// Reports to the target when the set of wanted and complete versions changes, and when the files of
// one change. It has one thread, which sleeps until the kernel reports a change in a folder or a
// poll is due. If a base path cannot be read, its model keeps its versions, and the source status
// gives the reason; other models are not affected. Thread-safe.
class DirectorySource final : public core::Source {
 public:
  DirectorySource(DirectorySourceOptions options, DirectoryLoaderFactory make_loader);
  ~DirectorySource() override;

  void Start(core::AspiredTarget& target) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

  // Replaces the list of models, and scans them at once. A model that is not in the new list is
  // reported as having no versions. The target must know the models before this call. On an error,
  // as of CheckModels, nothing changes.
  Status SetModels(std::vector<DirectoryModel> models) EXCLUDES(mutex_);
  // Returns INVALID_ARGUMENT for an empty or repeated name, an empty base path, a count below 1, or
  // a negative version.
  static Status CheckModels(const std::vector<DirectoryModel>& models);

 private:
  // The state of one model. Used only on the source's thread.
  struct Watched {
    Watched(DirectoryModel model, SettlingOptions options, FolderWatches& watches)
        : look(std::move(model), options, watches) {}

    ModelLook look;
    uint64_t generation = 0;
    SteadyTime due;         // of the next scan
    SteadyTime busy_until;  // no earlier scan, whatever changes
    bool was_told = false;
    std::map<core::VersionNumber, VersionFolder> told;  // as of the last SetAspired
    std::string error;                                  // as of the last SetSourceStatus; empty: OK
    std::string left_out;                               // Found::left_out of the last scan
    bool shall_tell_error = false;  // report it even if it is the same as before
  };

  void RunThread() EXCLUDES(mutex_);
  // Takes over the models of SetModels, if they changed. Returns false to stop the thread.
  bool TakeModels() EXCLUDES(mutex_);
  void SetModel(DirectoryModel model);
  void LookAt(Watched& watched) const;
  // When to scan again if the kernel reports no change.
  SteadyTime NextLook(const Found& found) const;
  void Tell(Watched& watched, const Found& found) const;
  void TellStatus(Watched& watched, const Status& status) const;
  void ReadChanges();
  // Sleeps until there is something to do.
  void Wait();

  const DirectorySourceOptions options_;
  const DirectoryLoaderFactory make_loader_;
  WakeEvent wake_;

  Mutex mutex_;
  std::vector<DirectoryModel> models_ GUARDED_BY(mutex_);
  bool models_changed_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;

  // Set by Start, then used only on the source's thread.
  core::AspiredTarget* target_ = nullptr;
  FolderWatches watches_;
  SteadyTime next_read_;
  std::map<std::string, Watched, std::less<>> watched_;
  std::thread thread_;
};

}  // namespace penstock
