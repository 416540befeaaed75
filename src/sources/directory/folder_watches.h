// SPDX-License-Identifier: Apache-2.0
// Which folders are watched for which model, and what happened in them.
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

// What changed for one model since it was last asked.
struct ModelChanges {
  bool is_changed = false;
  bool all_placed = false;               // the way to its base path was switched by a rename
  std::set<core::VersionNumber> placed;  // folders that were renamed into their places
};

// One thread at a time. Holds `watches_max` watches at most. That the machine allows no more is
// logged once.
class FolderWatches final {
 public:
  FolderWatches(bool is_on, size_t watches_max)
      : is_on_(is_on), watches_max_(watches_max), inotify_(is_on) {}

  // Becomes readable when something happened; -1 if nothing can be watched.
  int fd() const { return inotify_.fd(); }

  // --- The folders of one model are told anew at each look, between Begin and End; End drops those
  // that were not told again. A folder is to be added before it is listed. The functions that add
  // return false if the folder cannot be watched.
  void Begin(const std::string& model);
  // A change of the entry `name` is of interest.
  bool AddStep(const std::string& folder, const std::string& name);
  // Any change is.
  bool AddBase(const std::string& folder);
  // A folder of a version's files. Notes which of them are open for writing.
  bool AddFiles(const std::string& folder, core::VersionNumber version);
  // As if all folders of the version had been added again.
  void KeepFiles(core::VersionNumber version);
  void End();
  void Remove(const std::string& model);

  // Reads what happened and calls `on_change` with each model that it concerns.
  void Read(const std::function<void(const std::string& model)>& on_change);
  // What Read found for the model since the last call.
  ModelChanges Take(const std::string& model);
  // A file of the version that was seen to be opened for writing and not yet to be closed.
  std::optional<std::string> OpenFile(const std::string& model, core::VersionNumber version) const;

 private:
  enum class Role { kStep, kBase, kFiles };
  // What a folder is watched for.
  struct Use {
    std::string model;
    Role role;
    std::string name;             // kStep
    core::VersionNumber version;  // kFiles
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

  bool Add(const std::string& folder, uint32_t mask, Use use);
  void LogLimit(std::string_view limit);
  // Of one model: those that were not renewed, or all.
  void DropUses(const std::string& model, bool all);
  void OnEvent(const InotifyEvent& event, std::set<uint32_t>& open_moves);
  static void FollowWriters(Watch& watch, const InotifyEvent& event,
                            std::set<uint32_t>& open_moves);
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
