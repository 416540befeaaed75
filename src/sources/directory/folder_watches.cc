// SPDX-License-Identifier: Apache-2.0
// The kernel has one watch for each folder, but several models, or several roles of one model, may
// need it. So each Watch has a list of Uses, and is removed with the last one. A use is a step (a
// symbolic link or folder on the way to a base path), a base path, or a folder with a version's
// files. An event marks each model with a use of the folder as changed. Renames matter most: a
// version that is renamed into its base path is complete at once (`renamed`), and so are all
// versions if a step of the path is switched (`all_renamed`). New files count as open for writing
// until their close is reported. If the kernel drops events, all models count as changed.
#include "sources/directory/folder_watches.h"

#include <sys/inotify.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace penstock {
namespace {

// Writes are not reported, because each one would be an event. The creation and the close of a file
// are enough.
constexpr uint32_t kEntriesMask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
constexpr uint32_t kSelfMask = IN_DELETE_SELF | IN_MOVE_SELF;
constexpr uint32_t kGone = kSelfMask | IN_IGNORED | IN_UNMOUNT;
constexpr size_t kOpenFilesMax = 10'000;  // in one folder; further ones are not tracked

// True for a file that its creator holds open, and not a link to a file that existed before.
bool IsNewFile(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::symlink_status(path, error).type() ==
             std::filesystem::file_type::regular &&
         std::filesystem::hard_link_count(path, error) == 1 && !error;
}

bool IsLink(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_symlink(path, error);
}

}  // namespace

void FolderWatches::Begin(const std::string& model) {
  model_ = model;
  for (const int id : watches_of_[model]) {
    const auto watch = watches_.find(id);
    if (watch == watches_.end()) continue;
    for (Use& use : watch->second.uses) use.is_renewed &= use.model != model;
  }
}

bool FolderWatches::AddStep(const std::string& folder, const std::string& name) {
  return Add(folder, kEntriesMask | kSelfMask, {model_, Role::kStep, name, {}});
}

bool FolderWatches::AddBase(const std::string& folder) {
  return Add(folder, kEntriesMask | kSelfMask | IN_ATTRIB, {model_, Role::kBase, "", {}});
}

bool FolderWatches::AddFiles(const std::string& folder, core::VersionNumber version) {
  return Add(folder, kEntriesMask | kSelfMask | IN_ATTRIB | IN_CLOSE_WRITE,
             {model_, Role::kFiles, "", version});
}

bool FolderWatches::Add(const std::string& folder, uint32_t mask, Use use) {
  if (!is_on_) return false;
  if (fd() < 0) {
    LogLimit("fs.inotify.max_user_instances");
    return false;
  }
  const int id = inotify_.Add(folder, mask);
  const bool is_too_many =
      id == -ENOSPC || (id >= 0 && !watches_.contains(id) && watches_.size() >= watches_max_);
  // The kernel has the watch already, because only its answer tells whether the folder is new.
  if (is_too_many) {
    if (id >= 0) inotify_.Remove(id);
    LogLimit("fs.inotify.max_user_watches");
  }
  if (is_too_many || id < 0) return false;
  Watch& watch = watches_[id];
  watch.folder = folder;
  watches_of_[use.model].insert(id);
  const auto same = std::find_if(watch.uses.begin(), watch.uses.end(),
                                 [&](const Use& other) { return other.IsSameAs(use); });
  if (same == watch.uses.end()) {
    watch.uses.push_back(std::move(use));
  } else {
    same->is_renewed = true;
  }
  return true;
}

void FolderWatches::LogLimit(std::string_view limit) {
  if (std::exchange(has_logged_limit_, true)) return;
  PENSTOCK_LOG(kWarning,
               "not all model folders can be watched (the limit is {}): new versions in the others "
               "are found by scanning for them",
               limit);
}

void FolderWatches::KeepFiles(core::VersionNumber version) {
  for (const int id : watches_of_[model_]) {
    const auto watch = watches_.find(id);
    if (watch == watches_.end()) continue;
    for (Use& use : watch->second.uses) {
      if (use.model == model_ && use.role == Role::kFiles && use.version == version) {
        use.is_renewed = true;
      }
    }
  }
}

void FolderWatches::End() { DropUses(model_, /*all=*/false); }

void FolderWatches::Remove(const std::string& model) {
  DropUses(model, /*all=*/true);
  watches_of_.erase(model);
  changes_.erase(model);
}

void FolderWatches::DropUses(const std::string& model, bool all) {
  std::erase_if(watches_of_[model], [&](int id) {
    const auto watch = watches_.find(id);
    if (watch == watches_.end()) return true;
    std::vector<Use>& uses = watch->second.uses;
    std::erase_if(uses,
                  [&](const Use& use) { return use.model == model && (all || !use.is_renewed); });
    // Watches are limited for all programs of the user, so one that is not needed is given back at
    // once.
    if (uses.empty()) {
      inotify_.Remove(id);
      watches_.erase(watch);
      return true;
    }
    return std::none_of(uses.begin(), uses.end(),
                        [&](const Use& use) { return use.model == model; });
  });
}

void FolderWatches::Read(const std::function<void(const std::string& model)>& on_change) {
  if (fd() < 0) return;
  std::set<uint32_t> open_moves;
  const bool is_complete =
      inotify_.Read([&](const InotifyEvent& event) { OnEvent(event, open_moves); });
  if (!is_complete) {  // events were lost: anything may have changed
    for (auto& [id, watch] : watches_) {
      watch.open.clear();
      for (const Use& use : watch.uses) changes_[use.model].is_changed = true;
    }
  }
  for (const auto& [model, changes] : changes_) {
    if (changes.is_changed) on_change(model);
  }
}

void FolderWatches::OnEvent(const InotifyEvent& event, std::set<uint32_t>& open_moves) {
  const auto found = watches_.find(event.watch);
  if (found == watches_.end()) return;  // it was removed in the meantime
  Watch& watch = found->second;
  FollowWriters(watch, event, open_moves);
  for (const Use& use : watch.uses) {
    const bool is_of_interest = use.role != Role::kStep || event.name == use.name;
    if (is_of_interest || (event.mask & kGone) != 0) NoteChange(watch, use, event);
  }
  if ((event.mask & IN_IGNORED) != 0) watches_.erase(found);  // the kernel has removed the watch
}

void FolderWatches::FollowWriters(Watch& watch, const InotifyEvent& event,
                                  std::set<uint32_t>& open_moves) {
  if ((event.mask & IN_ISDIR) != 0 || event.name.empty()) return;
  if (std::none_of(watch.uses.begin(), watch.uses.end(),
                   [](const Use& use) { return use.role == Role::kFiles; })) {
    return;
  }
  const std::string name(event.name);
  if ((event.mask & (IN_DELETE | IN_CLOSE_WRITE | IN_MOVED_FROM)) != 0) {
    const bool was_open = watch.open.erase(name) > 0;
    // A copy program often writes "file.tmp" and renames it while it is still open. The new name
    // must count as open, too.
    if (was_open && (event.mask & IN_MOVED_FROM) != 0) open_moves.insert(event.cookie);
  }
  const bool is_moved = (event.mask & IN_MOVED_TO) != 0 && open_moves.erase(event.cookie) > 0;
  const bool is_created =
      (event.mask & IN_CREATE) != 0 && IsNewFile(std::filesystem::path(watch.folder) / name);
  if ((is_moved || is_created) && watch.open.size() < kOpenFilesMax) watch.open.insert(name);
}

void FolderWatches::NoteChange(const Watch& watch, const Use& use, const InotifyEvent& event) {
  ModelChanges& changes = changes_[use.model];
  changes.is_changed = true;
  if ((event.mask & IN_MOVED_TO) == 0 || use.role == Role::kFiles) return;
  if (use.role == Role::kStep) {
    changes.all_renamed = true;
    return;
  }
  const std::string name(event.name);
  if (const auto version = core::ParseVersion(name)) {
    changes.renamed.insert(*version);
  } else if ((event.mask & IN_ISDIR) == 0 && IsLink(std::filesystem::path(watch.folder) / name)) {
    changes.all_renamed = true;  // versions may be links whose path leads through this one
  }
}

ModelChanges FolderWatches::Take(const std::string& model) {
  const auto found = changes_.find(model);
  if (found == changes_.end()) return {};
  ModelChanges changes = std::move(found->second);
  changes_.erase(found);
  return changes;
}

std::optional<std::string> FolderWatches::OpenFile(const std::string& model,
                                                   core::VersionNumber version) const {
  const auto ids = watches_of_.find(model);
  if (ids == watches_of_.end()) return std::nullopt;
  for (const int id : ids->second) {
    const auto watch = watches_.find(id);
    if (watch == watches_.end() || watch->second.open.empty()) continue;
    for (const Use& use : watch->second.uses) {
      if (use.role == Role::kFiles && use.model == model && use.version == version) {
        return watch->second.folder + "/" + *watch->second.open.begin();
      }
    }
  }
  return std::nullopt;
}

}  // namespace penstock
