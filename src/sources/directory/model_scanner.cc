// SPDX-License-Identifier: Apache-2.0
// One scan has three steps: watch the folders on the way to the base path, list the version
// folders, and choose among them.
//
// To choose is the hard part. The version policy says which versions are wanted, for instance the
// two highest. A wanted version may not be complete yet. Then it is taken out of the list, and the
// policy selects again, so that the next lower version takes its place until it is complete. This
// repeats until all chosen versions are complete.
//
// To check a version means to walk over all its files, which is slow on a network file system. So a
// version that is complete is checked again only after a reported change, or when the checks have
// taken a small enough share of the time (kFilesShare).
#include "sources/directory/model_scanner.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "core/reserves.h"
#include "core/version_messages.h"
#include "sources/directory/version_folders.h"

namespace penstock {
namespace {

// Unless a change was reported, the checks of complete files take at most one in this many parts of
// the time.
constexpr int kFilesShare = 200;

// When to scan versions again. If several versions are due at nearly the same time, waits for the
// last of them. They were probably copied together, and the scan must not load an older one just
// because it was complete a moment earlier.
SteadyTime LastOfTheNext(const std::vector<SteadyTime>& scans) {
  constexpr Duration kTogether = std::chrono::milliseconds(100);
  if (scans.empty()) return kNoDeadline;
  const SteadyTime first = *std::min_element(scans.begin(), scans.end());
  SteadyTime last = first;
  for (const SteadyTime scan : scans) {
    if (scan - first <= kTogether) last = std::max(last, scan);
  }
  return last;
}

std::set<core::VersionNumber> VersionsOf(
    const std::map<core::VersionNumber, std::string>& folders) {
  std::set<core::VersionNumber> versions;
  for (const auto& [version, path] : folders) versions.insert(version);
  return versions;
}

// Explains why nothing can be loaded for a model at whose base path are the versions `there`.
Status NothingWanted(const core::SourceModel& model, const std::set<core::VersionNumber>& there) {
  const std::string& base_path = model.base_path;
  if (!there.empty()) return core::NoneSelected("base path " + base_path, model.selection, there);
  const std::string own_name = std::filesystem::path(base_path + "/").parent_path().filename();
  return Error(
      StatusCode::kNotFound,
      "there are no versions in base path {}: a version is a folder named by a number{}", base_path,
      core::ParseVersion(own_name) ? "; this one is a version itself: give the folder above" : "");
}

}  // namespace

Found ModelScanner::Scan() {
  Found found;
  const ModelChanges changes = watches_.Take(model_.name);
  watches_.Begin(model_.name);
  found.is_watched = WatchBasePath();
  const StatusOr<Folders> folders = ListVersionFolders(model_.base_path);
  found.status = folders.status();
  if (folders.ok()) {
    found.can_list = true;
    const std::set<core::VersionNumber> chosen = Choose(*folders, changes, found);
    Want(*folders, chosen, found);
    if (!found.waiting.empty()) {
      DescribeWaiting(found);
    } else if (found.wanted.empty()) {
      found.status = NothingWanted(model_, VersionsOf(*folders));
    }
    // If no version is wanted, the status says what is absent.
    if (!found.wanted.empty()) {
      found.absent =
          core::Absent("base path " + model_.base_path, model_.selection, VersionsOf(*folders));
    }
  }
  watches_.End();
  return found;
}

bool ModelScanner::WatchBasePath() {
  const ResolvedPath resolved = ResolveFolder(model_.base_path);
  is_on_network_ = IsOnNetwork(resolved.folder.empty() ? "/" : resolved.folder);
  bool is_watched = !is_on_network_ && (!resolved.folder.empty() || !resolved.steps.empty());
  for (const PathStep& step : resolved.steps) {
    is_watched &= !IsOnNetwork(step.folder) && watches_.AddStep(step.folder, step.name);
  }
  if (!resolved.folder.empty()) is_watched = is_watched && watches_.AddBase(resolved.folder);
  return is_watched;
}

std::set<core::VersionNumber> ModelScanner::Choose(const Folders& folders,
                                                   const ModelChanges& changes, Found& found) {
  // A version that is deleted and comes back must settle again.
  std::erase_if(files_, [&](const auto& item) { return !folders.contains(item.first); });
  const SteadyTime start = Clock::Real().Now();
  const bool shall_scan = changes.is_changed || start >= files_due_;
  std::set<core::VersionNumber> there = VersionsOf(folders);
  std::set<core::VersionNumber> scanned;
  std::vector<SteadyTime> scans;
  // While a wanted version is not complete, select again without it: the next one takes its place.
  std::set<core::VersionNumber> chosen = Select(there);
  for (bool is_done = false; !is_done;) {
    is_done = true;
    for (const core::VersionNumber version : chosen) {
      if (!scanned.insert(version).second) continue;
      const auto known = files_.find(version);
      const bool is_settled = known != files_.end() && known->second.settling.complete() &&
                              !known->second.settling.next_scan();
      if (is_settled && !shall_scan) {
        // The walk that declares the watches is left out, so they are kept as they are.
        watches_.KeepFiles(version);
      } else if (!ScanFiles(version, folders.at(version), changes)) {
        found.waiting.insert(version);
        there.erase(version);
        is_done = false;
      }
      const Files& files = files_.at(version);
      // One folder that cannot be watched is enough to need polls for the whole model.
      found.is_watched &= files.is_watched;
      if (const auto scan = files.settling.next_scan()) scans.push_back(*scan);
    }
    if (!is_done) chosen = Select(there);
  }
  found.scan_again = LastOfTheNext(scans);
  const SteadyTime end = Clock::Real().Now();
  if (shall_scan) files_due_ = end + kFilesShare * (end - start);
  return chosen;
}

std::set<core::VersionNumber> ModelScanner::Select(
    const std::set<core::VersionNumber>& there) const {
  std::set<core::VersionNumber> selected = core::SelectVersions(model_.selection, there);
  for (const core::VersionNumber version : model_.labelled) {
    if (there.contains(version)) selected.insert(version);
  }
  return selected;
}

void ModelScanner::Want(const Folders& folders, const std::set<core::VersionNumber>& chosen,
                        Found& found) {
  // A version can be chosen for the policy, for a label, or for both. The policy comes first: the
  // role kLabel is only for versions that nothing but a label wants.
  const std::set<core::VersionNumber> main = core::SelectVersions(model_.selection, chosen);
  for (const core::VersionNumber version : chosen) {
    found.wanted[version] = {
        folders.at(version), *files_.at(version).settling.complete(),
        main.contains(version) ? core::VersionRole::kMain : core::VersionRole::kLabel};
  }
  std::set<core::VersionNumber> others = VersionsOf(folders);
  std::erase_if(others, [&](const core::VersionNumber version) {
    return chosen.contains(version) || found.waiting.contains(version);
  });
  for (const core::VersionNumber version : core::ReservesOf(model_.selection, main, others)) {
    // Revision 0: the files of a reserve are not checked, so changes in them are not seen.
    found.wanted[version] = {folders.at(version), 0, core::VersionRole::kReserve};
  }
}

bool ModelScanner::ScanFiles(core::VersionNumber version, const std::string& path,
                             const ModelChanges& changes) {
  Files& files = files_.try_emplace(version, Files{Settling(options_)}).first->second;
  files.is_watched = true;
  FilesSeen seen;
  seen.stamp = StampFolder(path, [&](const std::string& folder) {
    files.is_watched &= watches_.AddFiles(folder, version);
  });
  seen.was_renamed = changes.all_renamed || changes.renamed.contains(version);
  seen.has_writer = watches_.OpenFile(model_.name, version).has_value();
  seen.is_on_network = is_on_network_;
  seen.now = Clock::Real().Now();
  seen.wall_now = std::chrono::system_clock::now();
  files.settling.Scan(seen);
  return files.settling.complete().has_value();
}

void ModelScanner::DescribeWaiting(Found& found) const {
  std::set<core::VersionNumber> coming;
  for (const core::VersionNumber version : found.waiting) {
    const std::string& missing = files_.at(version).settling.missing();
    if (missing.empty()) coming.insert(version);
    found.incomplete[version] = missing.empty() ? WhyItWaits(version) : missing;
  }
  // Only versions that may still become complete make the model wait. If a part is missing for
  // good, that is an error or a warning.
  if (!coming.empty()) {
    const bool is_one = coming.size() == 1;
    found.status = Error(StatusCode::kFailedPrecondition,
                         "version{} {} in base path {} {} not complete yet and wait{}: {}",
                         is_one ? "" : "s", core::ListVersions(coming), model_.base_path,
                         is_one ? "is" : "are", is_one ? "s" : "", WhyItWaits(*coming.rbegin()));
    return;
  }
  if (found.wanted.empty()) {
    const auto& [highest, missing] = *found.incomplete.rbegin();
    found.status = Error(StatusCode::kNotFound,
                         "there are no versions in base path {}: version {} is not complete: {}",
                         model_.base_path, highest.value, missing);
    return;
  }
  found.left_out = core::LeftOut("base path " + model_.base_path, found.incomplete);
}

std::string ModelScanner::WhyItWaits(core::VersionNumber version) const {
  if (files_.at(version).settling.waits_for_writer()) {
    if (const auto file = watches_.OpenFile(model_.name, version))
      return fmt::format("{} is open for writing", *file);
  }
  return fmt::format(
      "its files have changed less than {} ms ago",
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.settle_time).count());
}

}  // namespace penstock
