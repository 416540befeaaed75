// SPDX-License-Identifier: Apache-2.0
// The versions of a model are the numeric folders below its base path, as in TensorFlow Serving.
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

// Makes the loader of one version that lies in the folder `path`. Called on the source's thread
// when a version becomes aspired and when its files have changed, so it must be quick: reading the
// model is the loader's work.
using DirectoryLoaderFactory = std::function<StatusOr<std::unique_ptr<core::Loader>>(
    const core::ServableId& id, const std::string& path)>;

struct DirectorySourceOptions {
  // Time between two looks at the base paths; 0: one look after each SetModels, < 0: none at all.
  // Where changes are watched, they are seen at once, and looks are ten times rarer.
  Duration poll_period = std::chrono::seconds(1);
  // When a version that is being copied is complete.
  SettlingOptions settling;
  // A base path in which no version is left changes nothing, as if it could not be read.
  bool keeps_last_versions = false;
  size_t watches_max = 100'000;  // 0: nothing is watched
};

// Tells the target when the set of wanted and complete versions changed, and when the files of one
// did. One thread, which sleeps until the kernel tells of a change in a folder, or until it is time
// for a look. A base path that cannot be read changes nothing for its model (its source status says
// why) and nothing for others. Thread-safe.
class DirectorySource final : public core::Source {
 public:
  DirectorySource(DirectorySourceOptions options, DirectoryLoaderFactory make_loader);
  ~DirectorySource() override;

  void Start(core::AspiredTarget& target) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

  // The complete list of models; replaces the earlier one and is looked at right away. A model that
  // is left out is told to the target as having no versions. The target must know the models by
  // then. Errors, and then nothing changes: as CheckModels.
  Status SetModels(std::vector<DirectoryModel> models) EXCLUDES(mutex_);
  // INVALID_ARGUMENT for an empty or repeated name, an empty base path, a count below 1, a negative
  // version.
  static Status CheckModels(const std::vector<DirectoryModel>& models);

 private:
  // What is known of one model. Only on the source's thread.
  struct Watched {
    Watched(DirectoryModel model, SettlingOptions options, FolderWatches& watches)
        : look(std::move(model), options, watches) {}

    ModelLook look;
    uint64_t generation = 0;
    SteadyTime due;         // of the next look
    SteadyTime busy_until;  // not before that, whatever changes
    bool was_told = false;
    std::map<core::VersionNumber, VersionFolder> told;  // as of the last SetAspired
    std::string error;                                  // as of the last SetSourceStatus; empty: OK
    std::string left_out;                               // as Found::left_out of the last look
    bool shall_tell_error = false;                      // also if it is the same as before
  };

  void RunThread() EXCLUDES(mutex_);
  // Takes over the models that were set, if they changed. False: stop.
  bool TakeModels() EXCLUDES(mutex_);
  void SetModel(DirectoryModel model);
  void LookAt(Watched& watched) const;
  // When to look again if nothing tells of a change.
  SteadyTime NextLook(const Found& found) const;
  void Tell(Watched& watched, const Found& found) const;
  void TellStatus(Watched& watched, const Status& status) const;
  void ReadChanges();
  // Sleeps until something is to be done.
  void Wait();

  const DirectorySourceOptions options_;
  const DirectoryLoaderFactory make_loader_;
  WakeEvent wake_;

  Mutex mutex_;
  std::vector<DirectoryModel> models_ GUARDED_BY(mutex_);
  bool models_changed_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;

  // Set by Start, then only on the source's thread.
  core::AspiredTarget* target_ = nullptr;
  FolderWatches watches_;
  SteadyTime next_read_;
  std::map<std::string, Watched, std::less<>> watched_;
  std::thread thread_;
};

}  // namespace penstock
