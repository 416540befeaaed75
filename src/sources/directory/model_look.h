// SPDX-License-Identifier: Apache-2.0
// What lies at the base path of one model: which versions are wanted, and complete.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "core/source.h"
#include "core/version_selection.h"
#include "sources/directory/folder_watches.h"
#include "sources/directory/settling.h"

namespace penstock {

// A model to be watched.
struct DirectoryModel {
  std::string name;
  std::string base_path;
  core::VersionSelection selection;             // default: the latest one
  uint64_t generation = 0;                      // of its configuration, told to the target; 0: none
  std::set<core::VersionNumber> labelled = {};  // versions that are wanted, too, if they are there
};

// Where a version lies, and the state of its files.
struct VersionFolder {
  std::string path;
  uint64_t revision = 0;
  core::VersionRole role = core::VersionRole::kMain;
  bool operator==(const VersionFolder&) const = default;
};

// What one look found.
struct Found {
  bool can_list = false;  // otherwise nothing is known of the versions
  // The complete ones, and those below them that may take their place, which are taken as they are.
  std::map<core::VersionNumber, VersionFolder> wanted;
  // Why there is nothing, or (FAILED_PRECONDITION) which versions are not complete yet.
  Status status;
  std::string left_out;  // which versions will never be complete as they are, and why; else empty
  std::set<core::VersionNumber> waiting;  // those that are not complete
  SteadyTime look_again = kNoDeadline;    // for versions that are not complete
  bool is_watched = false;  // all changes will be heard of; otherwise looks are needed
};

// Looks at one model again and again, and remembers which versions were complete. One thread at a
// time. `watches` outlives it.
class ModelLook final {
 public:
  ModelLook(DirectoryModel model, SettlingOptions options, FolderWatches& watches)
      : model_(std::move(model)), options_(options), watches_(watches) {}

  const DirectoryModel& model() const { return model_; }
  // Another selection of the same versions.
  void SetSelection(core::VersionSelection selection, std::set<core::VersionNumber> labelled) {
    model_.selection = std::move(selection);
    model_.labelled = std::move(labelled);
  }

  Found Look();

 private:
  using Folders = std::map<core::VersionNumber, std::string>;

  // Watches what the base path depends on. False if that cannot be watched.
  bool WatchBasePath();
  // What of `there` is wanted.
  std::set<core::VersionNumber> Select(const std::set<core::VersionNumber>& there) const;
  // Fills in found.wanted.
  void Want(const Folders& folders, const std::set<core::VersionNumber>& chosen, Found& found);
  // Chooses what is wanted and complete; fills in the rest of `found` on the way.
  std::set<core::VersionNumber> Choose(const Folders& folders, const ModelChanges& changes,
                                       Found& found);
  // True if the version is, or was, complete.
  bool LookAtFiles(core::VersionNumber version, const std::string& path,
                   const ModelChanges& changes);
  // Fills in found.status and found.left_out, if some versions are not complete.
  void TellWaiting(Found& found) const;
  // Of a version whose files may still change.
  std::string WhyItWaits(core::VersionNumber version) const;

  DirectoryModel model_;
  const SettlingOptions options_;
  FolderWatches& watches_;

  bool is_on_network_ = false;
  struct Files {
    Settling settling;
    bool is_watched = false;
  };
  std::map<core::VersionNumber, Files> files_;  // of the versions that were once wanted
  // Files of versions that were complete are looked at again only then, if nothing tells that they
  // changed: so a slow file system is not kept busy.
  SteadyTime files_due_;
};

}  // namespace penstock
