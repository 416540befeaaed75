// SPDX-License-Identifier: Apache-2.0
// What `penstock inspect` finds out about a model, and how it is printed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/host/backend_host.h"
#include "base/status.h"
#include "core/servable.h"
#include "infer/signature.h"
#include "models/model_list.h"

namespace penstock {

// A version that serve would leave out. Immutable.
struct IncompleteVersion {
  core::VersionNumber version;
  std::string missing;  // as "it has no files, or only empty ones"
};

// The findings about one model. Immutable.
struct ModelReport {
  std::string path;                           // as the user gave it
  std::vector<core::VersionNumber> versions;  // ascending; empty: `path` is not a base path
  core::VersionNumber shown;                  // the version that the members below describe
  std::string described_path;                 // the folder or name that was loaded
  ModelInfo info;
  std::vector<IncompleteVersion> incomplete = {};  // newer than the described version
  // Of an ensemble: its steps as text, as a JSON list, and as a graph in Graphviz's language. Else
  // empty.
  std::string steps = {};
  std::string steps_json = {};
  std::string dot = {};
};

// Describes a base path, the folder of one version, or builtin:NAME; also as a file:// URL. Of a
// base path it describes the newest complete version, as serve would load it. One of `sources`
// lists the versions. Loads the model.
// `version`: describes this version of a base path.
// Errors, with the path and the reason: the folder does not exist, nothing in it is a version or
// fits a backend, or the backend cannot load it.
StatusOr<ModelReport> InspectModel(const std::string& asked, const LoadOptions& options,
                                   BackendHost& backends, const Sources& sources,
                                   std::optional<core::VersionNumber> version = std::nullopt);

// Formats the report for people, in several lines.
std::string ReportText(const ModelReport& report);
// Formats the report as a JSON object on one line.
std::string ReportJson(const ModelReport& report);

}  // namespace penstock
