// SPDX-License-Identifier: Apache-2.0
// Which backends there are, and which one a model folder is for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace penstock {

// A folder below the backend directory. Immutable.
struct InstalledBackend {
  std::string name;
  std::string folder;
  std::string library;                          // penstock_<name>.so
  std::vector<std::string> patterns;            // of file names, from models.txt
  std::vector<std::string> weak_patterns = {};  // those after "otherwise"
};

// Sorted by name; empty if there is no such folder.
std::vector<InstalledBackend> FindBackends(const std::string& folder);

// `backends` beside the running executable.
std::string DefaultBackendFolder();

// Names in the folder, sorted. NOT_FOUND if it is none.
StatusOr<std::vector<std::string>> ListFolder(const std::string& folder);

// The backend called `platform` ("onnx" stands for "onnxruntime"), or, if that is empty, the one
// with a pattern that fits a file of `version_path`; weak patterns count only if no other fits.
// INVALID_ARGUMENT if there is none or several.
StatusOr<InstalledBackend> ChooseBackend(const std::vector<InstalledBackend>& backends,
                                         std::string_view platform,
                                         const std::string& version_path);

// Sum of the sizes of all files below `folder`. NOT_FOUND if it is none.
StatusOr<uint64_t> FolderBytes(const std::string& folder);

}  // namespace penstock
