// SPDX-License-Identifier: Apache-2.0
// Whether the files of a version can be all of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::core {

// Takes in the files of one version, in any order. An upload that was begun and not ended, or a
// folder that somebody made by hand, is no version. One thread at a time.
class VersionContent final {
 public:
  // `name` is the path below the version's folder. A file without a byte is no content: object
  // stores and jobs leave such markers.
  void Add(std::string_view name, uint64_t bytes);

  // What is missing, as "it has no files, or only empty ones"; empty: nothing that can be told
  // without opening files.
  std::string Missing() const;

 private:
  bool has_model_ = false;
  std::string part_;  // of a SavedModel, that is nothing without its saved_model.pb
};

}  // namespace penstock::core
