// SPDX-License-Identifier: Apache-2.0
// Checks whether a folder can contain all files of a version.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::core {

// Collects the names of the files of one version, in any order. So an upload that has not ended, or
// a folder that somebody made by hand, is not taken for a version. One thread at a time.
class VersionContent final {
 public:
  // `name` is the path below the folder of the version. Empty files are ignored, because object
  // stores and jobs leave them as markers.
  void Add(std::string_view name, uint64_t bytes);

  // Returns what is missing, such as "it has no files, or only empty ones". Returns "" if nothing
  // is known to be missing; no file is opened to find out.
  std::string Missing() const;

 private:
  bool has_model_ = false;
  std::string part_;  // a part of a SavedModel, which is useless without saved_model.pb
};

}  // namespace penstock::core
