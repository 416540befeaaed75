// SPDX-License-Identifier: Apache-2.0
// Watches folders for models, and collects the changes in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/version_selection.h"
#include "sources/directory/inotify.h"

namespace penstock {

// The changes of one model since the last Take.
struct ModelChanges {
  bool is_changed = false;
  bool all_renamed = false;               // a rename switched the path to the base path
  std::set<core::VersionNumber> renamed;  // version folders that were renamed into the base path
};

// Watches the folders of all models with one Inotify, and sorts the events by model.
//
//   watches.Begin("m");
//   watches.AddBase("/models/m");             // then list it
//   watches.AddFiles("/models/m/1", {1});     // then scan its files
//   watches.End();
//   ...                                       // fd() becomes readable
//   watches.Read([](const std::string& model) { Scan(model, watches.Take(model)); });
//
// Holds at most `watches_max` watches. If this limit or the system's is reached, that is logged
// once, and polls find the changes. One thread at a time.
class FolderWatches final {
 public:
  FolderWatches(bool is_on, size_t watches_max)
      : is_on_(is_on), watches_max_(watches_max), inotify_(is_on) {}

  // Becomes readable when there is a change. -1: nothing can be watched.
  int fd() const { return inotify_.fd(); }

  // --- Each scan declares the folders of its model again, between Begin and End. End drops those
  // that were not declared again. Add a folder before you list it, so that no change is missed. The
  // functions that add return false if the folder cannot be watched.
  void Begin(const std::string& model);
  // Watches for changes of the entry `name` only.
  bool AddStep(const std::string& folder, const std::string& name);
  // Watches for any change.
  bool AddBase(const std::string& folder);
  // Watches a folder of a version's files. Also tracks which of them are open for writing.
  bool AddFiles(const std::string& folder, core::VersionNumber version);
  // Declares all folders of the version again, without a scan.
  void KeepFiles(core::VersionNumber version);
  void End();
  void Remove(const std::string& model);

  // Reads the kernel's events, and calls `on_change` with each model that has changes.
  void Read(const std::function<void(const std::string& model)>& on_change);
  // Returns the changes of the model that Read has found since the last call.
  ModelChanges Take(const std::string& model);
  // Returns a file of the version that a program has opened for writing and not closed, if there is
  // one.
  std::optional<std::string> OpenFile(const std::string& model, core::VersionNumber version) const;

 private:
  enum class Role { kStep, kBase, kFiles };
  // Why a folder is watched.
  struct Use {
    std::string model;
    Role role;
    std::string name;             // for kStep
    core::VersionNumber version;  // for kFiles
    bool is_renewed = true;
    bool IsSameAs(const Use& other) const {
      return model == other.model && role == other.role && name == other.name &&
             version == other.version;
    }
  };
  struct Watch {
    std::string folder;
    std::vector<Use> uses;
    std::set<std::string, std::less<>> open;  // names of files that are open for writing
  };
  using OnChange = std::function<void(const std::string& model)>;

  // Adds a use of a folder, and a watch if it has none yet.
  bool Add(const std::string& folder, uint32_t mask, Use use);
  void LogLimit(std::string_view limit);
  // Drops the uses of one model: all, or those that were not declared again.
  void DropUses(const std::string& model, bool all);
  void OnEvent(const InotifyEvent& event, std::set<uint32_t>& open_moves);
  static void FollowWriters(Watch& watch, const InotifyEvent& event,
                            std::set<uint32_t>& open_moves);
  // Adds what the event means for this use to changes_.
  void NoteChange(const Watch& watch, const Use& use, const InotifyEvent& event);

  const bool is_on_;
  const size_t watches_max_;
  Inotify inotify_;
  std::map<int, Watch> watches_;
  std::map<std::string, std::set<int>> watches_of_;  // by model; some may be gone
  bool has_logged_limit_ = false;
  std::string model_;  // between Begin and End
  std::map<std::string, ModelChanges> changes_;
};

}  // namespace penstock
