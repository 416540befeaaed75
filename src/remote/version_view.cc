// SPDX-License-Identifier: Apache-2.0
#include "remote/version_view.h"

#include <fmt/format.h>

#include <algorithm>

namespace penstock::remote {
namespace {

// How many targets of a shard have a version.
struct Count {
  int available = 0;  // now, and wanted there
  int kept = 0;       // by their last answers: available or coming, and wanted there
  int left = 0;       // the same, wanted or not
};

Count CountOf(const ShardView& shard, core::VersionNumber version) {
  Count count;
  for (const TargetView& target : shard) {
    const auto found = target.versions.find(version);
    if (found == target.versions.end()) continue;
    ++count.left;
    if (found->second.is_leaving) continue;
    ++count.kept;
    if (found->second.is_available && !target.is_failing) ++count.available;
  }
  return count;
}

}  // namespace

SeenVersions JoinViews(std::span<const ShardView> shards, int min_replicas,
                       const std::set<core::VersionNumber>& published) {
  SeenVersions seen;
  for (const ShardView& shard : shards) {
    for (const TargetView& target : shard) {
      for (const auto& [version, at_target] : target.versions) seen.try_emplace(version);
    }
  }
  for (auto& [version, state] : seen) {
    const bool was_complete = published.contains(version);
    state.is_complete = true;
    state.is_left = was_complete;
    for (size_t i = 0; i < shards.size(); ++i) {
      const Count count = CountOf(shards[i], version);
      state.is_left &= count.left > 0;
      if (count.available >= min_replicas || (was_complete && count.kept > 0)) continue;
      state.is_complete = false;
      if (!state.missing.empty()) state.missing += "; ";
      if (shards.size() > 1) state.missing += fmt::format("shard {}: ", i);
      state.missing += fmt::format("{} of {} targets have it, and {} must", count.available,
                                   shards[i].size(), min_replicas);
    }
  }
  return seen;
}

std::set<core::VersionNumber> ChooseVersions(const SeenVersions& seen,
                                             const core::VersionSelection& selection,
                                             const std::set<core::VersionNumber>& labelled) {
  const auto choose = [&](auto is_candidate) {
    std::set<core::VersionNumber> there;
    for (const auto& [version, state] : seen) {
      if (is_candidate(state)) there.insert(version);
    }
    std::set<core::VersionNumber> chosen = core::SelectVersions(selection, there);
    std::ranges::set_intersection(labelled, there, std::inserter(chosen, chosen.end()));
    return chosen;
  };
  std::set<core::VersionNumber> chosen =
      choose([](const SeenVersion& state) { return state.is_complete; });
  if (chosen.empty())
    chosen = choose([](const SeenVersion& state) { return state.is_complete || state.is_left; });
  return chosen;
}

}  // namespace penstock::remote
