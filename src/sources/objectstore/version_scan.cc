// SPDX-License-Identifier: Apache-2.0
// One scan of a model: list the "folders" below the base path, choose the wanted versions, and list
// the objects of each. A version is complete when none of its objects has changed for the settle
// time and no part is missing; see model_scanner.cc in sources/directory for the same rule on disk.
// An object store has no renames, so there is no other sign of completeness.
//
// `seen` remembers the objects of each version between scans. Each listing is a request that costs
// money and time, so the objects of versions that are not wanted are listed rarely (kReserveAge) or
// not at all.
#include "sources/objectstore/version_scan.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include "core/reserves.h"
#include "core/version_content.h"

namespace penstock {
namespace {

// List the objects of reserves only this often: reserves are rarely needed, and each listing costs
// a request.
constexpr Duration kReserveAge = std::chrono::minutes(10);

// The resolution of object times: whole seconds.
constexpr Duration kTimeStep = std::chrono::seconds(1);

uint64_t RevisionOf(const std::vector<S3Object>& objects) {
  uint64_t sum = 0;
  for (const S3Object& object : objects) {
    const auto time = object.last_modified.value_or(std::chrono::system_clock::time_point());
    // A sum, so that the order of the listing does not matter.
    sum += std::hash<std::string>()(fmt::format("{} {} {} {}", object.key, object.size, object.etag,
                                                time.time_since_epoch().count()));
  }
  return sum;
}

// Returns the versions among `folders`, with their prefixes. If several names mean the same
// version, the one that sorts first counts.
std::map<core::VersionNumber, std::string> VersionsOf(std::vector<std::string> folders,
                                                      const std::string& prefix) {
  std::sort(folders.begin(), folders.end());
  std::map<core::VersionNumber, std::string> versions;
  for (const std::string& folder : folders) {
    if (!folder.starts_with(prefix) || !folder.ends_with('/')) continue;
    const std::string_view name = std::string_view(folder).substr(prefix.size());
    const auto version = core::ParseVersion(name.substr(0, name.size() - 1));
    if (version) versions.emplace(*version, folder);
  }
  return versions;
}

std::string Missing(const std::vector<S3Object>& objects, const std::string& prefix) {
  core::VersionContent content;
  for (const S3Object& object : objects)
    content.Add(std::string_view(object.key).substr(prefix.size()), object.size);
  return content.Missing();
}

// True if the folder holds nothing but the markers that consoles make for empty folders.
bool HoldsOnlyMarkers(const SeenVersion& seen) {
  return seen.problem.ok() && std::ranges::all_of(seen.objects, [](const S3Object& object) {
           return object.size == 0 && object.key.ends_with('/');
         });
}

// Updates `seen` with the objects of a version. Returns true if they are complete.
bool See(SeenVersion& seen, S3Listing listing, const std::string& prefix, Duration settle_time) {
  const SteadyTime now = Clock::Real().Now();
  const uint64_t revision = RevisionOf(listing.objects);
  if (seen.objects.empty() || revision != seen.revision) {
    seen = {revision, now, now, false, "", std::move(listing.objects), OkStatus()};
  }
  seen.listed = now;
  Duration age = now - seen.since;
  if (listing.now && !seen.objects.empty()) {
    std::optional<std::chrono::system_clock::time_point> newest;
    for (const S3Object& object : seen.objects) {
      if (object.last_modified) newest = std::max(newest, object.last_modified);
    }
    // The store's own clock on both sides, so a wrong clock of this machine does not matter. Its
    // times are whole seconds: a change may be up to one second newer than it looks.
    if (newest) age = std::max<Duration>(age, *listing.now - *newest - kTimeStep);
  }
  if (!seen.is_complete && age >= settle_time) {
    seen.missing = Missing(seen.objects, prefix);
    seen.is_complete = seen.missing.empty();
  }
  return seen.is_complete;
}

// Updates `seen` for a version with too many objects. It counts as complete, so that it is
// reported: its loader then fails with `problem`, and the operator sees why.
bool See(SeenVersion& seen, Status problem) {
  const uint64_t revision = std::hash<std::string_view>()(MessageOf(problem));
  const SteadyTime now = Clock::Real().Now();
  seen = {revision, now, now, true, "", {}, std::move(problem)};
  return true;
}

// Lists the objects of a version. Returns true if it is complete, or was at an earlier scan.
StatusOr<bool> ScanObjects(const VersionScan& scan, const std::string& prefix, S3Client& client,
                           SeenVersion& seen) {
  StatusOr<S3Listing> objects = client.List(prefix, /*stops_at_folders=*/false);
  if (objects.status().code() == StatusCode::kResourceExhausted)
    return See(seen, std::move(objects).status());
  TRY(objects.status());
  return See(seen, *std::move(objects), prefix, scan.settle_time);
}

// Treats a folder as if it did not exist.
void Forget(core::VersionNumber version, SeenVersions& seen, ScannedVersions& found) {
  seen.erase(version);
  found.prefixes.erase(version);
}

// Fills in found.reserves.
Status ScanReserves(const VersionScan& scan, const std::set<core::VersionNumber>& main,
                    S3Client& client, SeenVersions& seen, ScannedVersions& found) {
  std::set<core::VersionNumber> others = found.Numbers();
  std::erase_if(others, [&](const core::VersionNumber version) {
    return found.wanted.contains(version) || found.waiting.contains(version);
  });
  for (const core::VersionNumber version : core::ReservesOf(scan.selection, main, others)) {
    SeenVersion& reserve = seen[version];
    if (!reserve.is_complete || Clock::Real().Now() - reserve.listed >= kReserveAge)
      TRY(ScanObjects(scan, found.prefixes.at(version), client, reserve).status());
    if (HoldsOnlyMarkers(reserve)) {
      Forget(version, seen, found);
      continue;
    }
    const bool is_usable = reserve.is_complete && reserve.problem.ok();
    if (is_usable || scan.reported.contains(version)) found.reserves.insert(version);
  }
  return OkStatus();
}

}  // namespace

std::set<core::VersionNumber> ScannedVersions::Numbers() const {
  std::set<core::VersionNumber> numbers;
  for (const auto& [version, prefix] : prefixes) numbers.insert(version);
  return numbers;
}

StatusOr<ScannedVersions> ScanVersions(const VersionScan& scan, S3Client& client,
                                       SeenVersions& seen) {
  ASSIGN_OR_RETURN(S3Listing listing, client.List(scan.prefix, /*stops_at_folders=*/true));
  ScannedVersions found;
  found.prefixes = VersionsOf(std::move(listing.folders), scan.prefix);
  std::erase_if(seen, [&](const auto& item) { return !found.prefixes.contains(item.first); });
  std::set<core::VersionNumber> there = found.Numbers();
  std::set<core::VersionNumber> scanned;
  // While a wanted version is not complete, select again without it: the next one replaces it.
  while (true) {
    found.for_labels.clear();
    const std::set<core::VersionNumber> main = core::SelectVersions(scan.selection, there);
    found.wanted = main;
    for (const core::VersionNumber version : scan.labelled) {
      if (there.contains(version) && !main.contains(version)) {
        found.wanted.insert(version);
        found.for_labels.insert(version);
      }
    }
    bool selects_again = false;
    for (const core::VersionNumber version : found.wanted) {
      if (!scanned.insert(version).second) continue;
      ASSIGN_OR_RETURN(const bool is_complete,
                       ScanObjects(scan, found.prefixes.at(version), client, seen[version]));
      // A folder that holds only markers is no version, as an empty folder in a console is none.
      if (HoldsOnlyMarkers(seen.at(version))) {
        Forget(version, seen, found);
        there.erase(version);
        selects_again = true;
        continue;
      }
      // A version that was reported stays wanted. If its objects changed, the new revision makes
      // the manager try it again.
      if (is_complete || scan.reported.contains(version)) continue;
      found.waiting.insert(version);
      there.erase(version);
      selects_again = true;
    }
    if (selects_again) continue;
    TRY(ScanReserves(scan, main, client, seen, found));
    break;
  }
  for (const auto& [version, state] : seen) {
    if (state.problem.ok() && !Missing(state.objects, found.prefixes.at(version)).empty())
      found.without_model.insert(version);
  }
  return found;
}

}  // namespace penstock
