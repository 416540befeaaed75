// SPDX-License-Identifier: Apache-2.0
// What `penstock inspect` finds out about a model, and how it prints it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backends/host/backend_host.h"
#include "base/status.h"
#include "core/servable.h"
#include "infer/signature.h"

namespace penstock {

// A version that serve leaves out. Immutable.
struct IncompleteVersion {
  core::VersionNumber version;
  std::string missing;  // as "it has no files, or only empty ones"
};

// Immutable.
struct ModelReport {
  std::string path;                           // as it was asked for
  std::vector<core::VersionNumber> versions;  // ascending; empty: `path` is no base path
  core::VersionNumber shown;                  // the one that what follows describes
  std::string described_path;                 // where it was loaded from
  ModelInfo info;
  std::vector<IncompleteVersion> incomplete = {};  // newer than the described one
};

// Looks at a base path, whose newest complete version it describes, as serve would load it; at the
// folder of one version; or at builtin:NAME. Also as a file:// URL. Loads the model. Errors, with
// the path and the reason: no such folder, nothing in it that is a version or that a backend takes,
// and what the backend says when it loads.
StatusOr<ModelReport> InspectModel(const std::string& asked, const LoadOptions& options,
                                   BackendHost& backends);

std::string ReportText(const ModelReport& report);
// One line, an object.
std::string ReportJson(const ModelReport& report);

}  // namespace penstock
