// SPDX-License-Identifier: Apache-2.0
// The versions of a model are the numeric folders below its base path, as in TensorFlow Serving.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "core/source.h"

namespace penstock {

// Which of the versions that are there shall be loaded.
struct LatestVersions {
  int count = 1;  // the highest ones, at least 1
};
struct AllVersions {};
struct SpecificVersions {
  std::vector<core::VersionNumber> versions;  // those of them that are there; none: nothing
};
using VersionSelection = std::variant<LatestVersions, AllVersions, SpecificVersions>;

// A model to be watched.
struct DirectoryModel {
  std::string name;
  std::string base_path;
  VersionSelection selection;  // default: the latest one
};

// Makes the loader of one version that lies in the folder `path`. Called on the source's thread
// when a version becomes aspired, so it must be quick: reading the model is the loader's work.
using DirectoryLoaderFactory = std::function<StatusOr<std::unique_ptr<core::Loader>>(
    const core::ServableId& id, const std::string& path)>;

struct DirectorySourceOptions {
  // Time between two looks at the base paths; 0: one look after each SetModels, < 0: none at all.
  Duration poll_period = std::chrono::seconds(1);
};

// Looks at the base paths of its models from time to time, on one thread that sleeps in between,
// and tells the target when the set of wanted versions changed. A base path that cannot be read
// changes nothing for its model (its source status says why) and nothing for others. Thread-safe.
class DirectorySource final : public core::Source {
 public:
  DirectorySource(DirectorySourceOptions options, DirectoryLoaderFactory make_loader);
  ~DirectorySource() override;

  void Start(core::AspiredTarget& target) override EXCLUDES(mutex_);
  void Stop() override EXCLUDES(mutex_);

  // The complete list of models; replaces the earlier one and is looked at right away. A model that
  // is left out is told to the target as having no versions. The target must know the models by
  // then. Errors, and then nothing changes: INVALID_ARGUMENT for an empty or repeated name, an
  // empty base path, a count below 1, a negative version.
  Status SetModels(std::vector<DirectoryModel> models) EXCLUDES(mutex_);

 private:
  // Wanted versions and their folders.
  using Folders = std::map<core::VersionNumber, std::string>;

  // What is known of one model. Only on the source's thread.
  struct Watched {
    DirectoryModel model;
    bool was_told = false;
    Folders told;                             // as of the last SetAspired
    std::set<core::VersionNumber> no_loader;  // those of them that no loader could be made for
    std::string error;                        // as of the last SetSourceStatus; empty: OK
    bool shall_tell_error = false;            // also if it is the same as before
  };

  void RunThread() EXCLUDES(mutex_);
  // Sleeps until it is time for a look. False: stop.
  bool WaitForLook() EXCLUDES(mutex_);
  // Takes over the models that were set, if they changed.
  void TakeModels() EXCLUDES(mutex_);
  void LookAt(Watched& watched) const;
  void Tell(Watched& watched, Folders folders) const;
  bool CanMakeMissingLoader(const Watched& watched) const;

  const DirectorySourceOptions options_;
  const DirectoryLoaderFactory make_loader_;

  Mutex mutex_;
  CondVar wake_;
  std::vector<DirectoryModel> models_ GUARDED_BY(mutex_);
  bool models_changed_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;

  // Set by Start, then only on the source's thread.
  core::AspiredTarget* target_ = nullptr;
  std::map<std::string, Watched, std::less<>> watched_;
  std::thread thread_;
};

}  // namespace penstock
