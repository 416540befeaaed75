// SPDX-License-Identifier: Apache-2.0
// Which versions a remote model has, from what its targets say. No I/O.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/servable.h"
#include "core/version_selection.h"
#include "remote/messages.h"

namespace penstock::remote {

// What is known of one target. Plain data.
struct TargetView {
  std::string name;           // "host:port"
  bool has_answered = false;  // at some time
  bool is_failing = false;    // it did not answer the last question
  VersionsAtTarget versions;  // by its last answer
};
// The targets that have one shard of the model, or all of it. All are equal.
using ShardView = std::vector<TargetView>;

// A version that some target has, or will have. Plain data.
struct SeenVersion {
  // Each shard has enough targets with it, or had them and still has one that wants to keep it.
  bool is_complete = false;
  // It was complete, and each shard still has a target with it. All of them may be about to unload
  // it, so it only serves until there is another one.
  bool is_left = false;
  std::string missing;  // why it is not complete
  bool operator==(const SeenVersion&) const = default;
};
using SeenVersions = std::map<core::VersionNumber, SeenVersion>;

// Joins what the targets of all shards say. `published` are the versions that were complete before.
// Failing targets count with what they said last, but not for a version that is new.
SeenVersions JoinViews(std::span<const ShardView> shards, int min_replicas,
                       const std::set<core::VersionNumber>& published);

// The versions to serve: those that `selection` and `labelled` choose among the complete ones; or
// among those that are left, if it would choose none.
std::set<core::VersionNumber> ChooseVersions(const SeenVersions& seen,
                                             const core::VersionSelection& selection,
                                             const std::set<core::VersionNumber>& labelled);

}  // namespace penstock::remote
