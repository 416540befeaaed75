// SPDX-License-Identifier: Apache-2.0
// One look at what versions of a model lie in a bucket.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "core/version_selection.h"
#include "sources/objectstore/s3_client.h"
#include "sources/objectstore/s3_listing.h"

namespace penstock {

// One state of the objects of a version.
struct SeenVersion {
  uint64_t revision = 0;  // another one for other keys, sizes, ETags or times
  SteadyTime since;
  SteadyTime listed;  // when its objects were listed last
  bool is_complete = false;
  std::string missing;  // what is missing in it though nothing changes any more; else empty
  std::vector<S3Object> objects;
  Status problem;  // there are too many of them to be listed: the version cannot be loaded
};
using SeenVersions = std::map<core::VersionNumber, SeenVersion>;

// What is looked for.
struct VersionLook {
  std::string prefix;  // below which the versions are
  core::VersionSelection selection;
  std::set<core::VersionNumber> labelled;  // wanted, too, if they are there
  std::set<core::VersionNumber> told;      // they stay wanted, or reserves, while they are there
  // A version is complete when no object of it has changed for this time.
  Duration settle_time;
};

struct FoundVersions {
  std::map<core::VersionNumber, std::string> prefixes;  // of all versions
  std::set<core::VersionNumber> wanted;                 // and complete
  std::set<core::VersionNumber> for_labels;             // those that are wanted only for that
  std::set<core::VersionNumber> reserves;  // complete ones that may take the place of the wanted
  std::set<core::VersionNumber> waiting;   // not complete
  std::set<core::VersionNumber> without_model;    // folders with markers, or parts of a model
  std::set<core::VersionNumber> Numbers() const;  // of all versions
};

// Lists the versions and, of those that are wanted and now and then of reserves, the objects.
// `seen` is as the last look left it, also after an error. Errors as of S3Client::List; a version
// with too many objects harms no other.
StatusOr<FoundVersions> LookForVersions(const VersionLook& look, S3Client& client,
                                        SeenVersions& seen);

}  // namespace penstock
