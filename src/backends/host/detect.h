// SPDX-License-Identifier: Apache-2.0
// Finds the installed backends, and the one for a model folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backends/host/host_options.h"
#include "base/status.h"

namespace penstock {

// A backend's folder in the backend directory, or an importer for that backend. Immutable.
struct InstalledBackend {
  std::string name;  // the platform
  std::string folder;
  std::string library;                          // penstock_<name>.so
  std::vector<std::string> patterns;            // of file names, from models.txt
  std::vector<std::string> weak_patterns = {};  // those after "otherwise"
  // Makes the model that the backend importer->backend loads; null: the backend takes the files.
  const ModelImporter* importer = nullptr;
};

// Returns the backends, and the importers whose backends are there, sorted by name; empty if the
// folder does not exist. The result refers to the importers.
std::vector<InstalledBackend> FindBackends(const std::string& folder,
                                           const std::vector<ModelImporter>& importers);

// The folder `backends` beside the running executable.
std::string DefaultBackendFolder();

// Returns the names in the folder, sorted. NOT_FOUND if it is not a folder.
StatusOr<std::vector<std::string>> ListFolder(const std::string& folder);

// Returns the backend `platform` ("onnx" means "onnxruntime"). If `platform` is empty, returns the
// backend with a pattern that fits a file of `version_path`; weak patterns count only if no other
// fits. INVALID_ARGUMENT if there is none, or more than one.
StatusOr<InstalledBackend> ChooseBackend(const std::vector<InstalledBackend>& backends,
                                         std::string_view platform,
                                         const std::string& version_path);

// Returns the sum of the sizes of all files below `folder`. NOT_FOUND if it is not a folder.
StatusOr<uint64_t> FolderBytes(const std::string& folder);

}  // namespace penstock
