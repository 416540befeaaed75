// SPDX-License-Identifier: Apache-2.0
// The folders and stores from which clients may have models loaded.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace penstock {

// Checks base paths that clients name in reloads and to the admin API. Immutable, thread-safe.
class ModelRoots final {
 public:
  // Allows every path.
  ModelRoots() = default;
  // Reads a list of folders and of prefixes such as s3://bucket/models, separated by commas. An
  // empty list allows every path. INVALID_ARGUMENT if a folder does not exist, or a root is none.
  static StatusOr<ModelRoots> Parse(std::string_view list);

  // PERMISSION_DENIED unless `base_path` is a root, or below one. Symbolic links are followed, so
  // that none leads out. The path need not exist. Built-in models and ensembles are always allowed.
  // It looks only at files below the roots, so the answer for other paths does not depend on
  // whether they exist. Blocks while the file system of a root does not answer.
  Status Check(std::string_view model, const std::string& base_path) const;

 private:
  struct Folder {
    std::filesystem::path given;      // absolute
    std::filesystem::path canonical;  // without symbolic links
  };

  bool AllowsStore(std::string_view base_path) const;
  bool AllowsFolder(const std::string& base_path) const;

  std::vector<Folder> folders_;
  std::vector<std::string> stores_;  // without a slash at the end
};

}  // namespace penstock
