// SPDX-License-Identifier: Apache-2.0
// Scans a bucket for the versions of a model.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "core/version_selection.h"
#include "s3/s3_client.h"
#include "s3/s3_listing.h"

namespace penstock {

// The state of a version's objects, from one scan to the next.
struct SeenVersion {
  uint64_t revision = 0;  // a hash of all keys, sizes, ETags and times
  SteadyTime since;
  SteadyTime listed;  // when the objects were last listed
  bool is_complete = false;
  std::string missing;  // what is missing although nothing changes any more; else empty
  std::vector<S3Object> objects;
  Status problem;  // too many objects to list: the version cannot be loaded
};
using SeenVersions = std::map<core::VersionNumber, SeenVersion>;

// The parameters of a scan.
struct VersionScan {
  std::string prefix;  // all versions are below it
  core::VersionSelection selection;
  std::set<core::VersionNumber> labelled;  // versions that are also wanted if they exist
  // Reported versions. They stay wanted, or reserves, while they exist.
  std::set<core::VersionNumber> reported;
  // A version is complete when none of its objects has changed for this time.
  Duration settle_time;
};

// The result of a scan. A version is in `prefixes`, and in at most one of the sets below it
// (for_labels is a part of wanted).
struct ScannedVersions {
  std::map<core::VersionNumber, std::string> prefixes;  // of all versions
  std::set<core::VersionNumber> wanted;                 // complete versions to load
  std::set<core::VersionNumber> for_labels;             // of these, wanted only for a label
  std::set<core::VersionNumber> reserves;         // complete versions that may replace wanted ones
  std::set<core::VersionNumber> waiting;          // not complete
  std::set<core::VersionNumber> without_model;    // have only markers, or parts of a model
  std::set<core::VersionNumber> Numbers() const;  // all versions
};

// Lists the versions, and the objects of wanted versions; sometimes also those of reserves. Pass
// the same `seen` to each scan of a model, also after an error. Errors as of S3Client::List. A
// version with too many objects does not affect the others.
StatusOr<ScannedVersions> ScanVersions(const VersionScan& scan, S3Client& client,
                                       SeenVersions& seen);

}  // namespace penstock
