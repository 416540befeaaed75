// SPDX-License-Identifier: Apache-2.0
// Scans the base path of one model: which versions are wanted and complete.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "core/model_source.h"
#include "core/version_reporter.h"
#include "core/version_selection.h"
#include "sources/directory/folder_watches.h"
#include "sources/directory/settling.h"

namespace penstock {

// The result of one scan.
struct Found {
  bool can_list = false;  // false: nothing is known of the versions
  // The complete versions, and lower ones that may replace them (reserves), whose files are not
  // checked.
  core::FoundVersions wanted;
  // Why there is no version, or (FAILED_PRECONDITION) which versions are not complete yet.
  Status status;
  std::string left_out;  // which versions will never be complete as they are, and why; else empty
  std::string absent;    // which versions the configuration names that are not there; else empty
  std::set<core::VersionNumber> waiting;  // the versions that are not complete
  core::IncompleteVersions incomplete;    // the same, with the reasons
  SteadyTime scan_again = kNoDeadline;    // when to scan again for versions that are not complete
  bool is_watched = false;                // the kernel reports all changes; false: polls are needed
};

// Scans one model repeatedly, and remembers which versions were complete. One thread at a time.
// `watches` outlives it.
class ModelScanner final {
 public:
  ModelScanner(core::SourceModel model, SettlingOptions options, FolderWatches& watches)
      : model_(std::move(model)), options_(options), watches_(watches) {}

  const core::SourceModel& model() const { return model_; }
  // Sets which versions of the same base path are wanted.
  void SetSelection(core::VersionSelection selection, std::set<core::VersionNumber> labelled) {
    model_.selection = std::move(selection);
    model_.labelled = std::move(labelled);
  }

  // Reads the folders, which can take long on a network file system. Never fails; the result has
  // the error.
  Found Scan();

 private:
  using Folders = std::map<core::VersionNumber, std::string>;

  // Watches the base path and the links on the way to it. Returns false if they cannot be watched.
  bool WatchBasePath();
  // Returns the versions of `there` that are wanted.
  std::set<core::VersionNumber> Select(const std::set<core::VersionNumber>& there) const;
  // Fills in found.wanted.
  void Want(const Folders& folders, const std::set<core::VersionNumber>& chosen, Found& found);
  // Returns the versions that are wanted and complete, and fills in the rest of `found`.
  std::set<core::VersionNumber> Choose(const Folders& folders, const ModelChanges& changes,
                                       Found& found);
  // Checks the files of the version. Returns true if it is complete, or was at an earlier scan.
  bool ScanFiles(core::VersionNumber version, const std::string& path, const ModelChanges& changes);
  // Fills in found.incomplete, found.status and found.left_out if some versions are not complete.
  void DescribeWaiting(Found& found) const;
  // The reason, for a version whose files may still change.
  std::string WhyItWaits(core::VersionNumber version) const;

  core::SourceModel model_;
  const SettlingOptions options_;
  FolderWatches& watches_;

  bool is_on_network_ = false;
  struct Files {
    Settling settling;
    bool is_watched = false;
  };
  std::map<core::VersionNumber, Files> files_;  // of the versions that were wanted at some time
  // Until this time the files of complete versions are not checked again, unless a change was
  // reported. This spares slow file systems.
  SteadyTime files_due_;
};

}  // namespace penstock
