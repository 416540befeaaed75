// SPDX-License-Identifier: Apache-2.0
// Makes the folder of a table from a text file.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/status.h"
#include "tables/manifest.h"
#include "tensor/dtype.h"

namespace penstock::tables {

// What `penstock table build` is asked for.
struct BuildOptions {
  std::string input = {};   // a file with a row in each line; the first field is its key
  std::string output = {};  // the folder of a version, which must not exist
  // Between fields. 0: a comma, a tab or a space, by the end of the file's name: .csv, .tsv, .txt.
  char delimiter = 0;
  // The first line has names. None: if its second field is no number.
  std::optional<bool> has_header = {};
  KeyType key_type = KeyType::kInt64;  // kDense: the lines have no keys
  DType dtype = DType::kFloat32;
  std::optional<double> default_value = {};  // of all elements of the default row
  Shard shard = {};                          // only the keys of this one are taken
};

// How far it is.
struct BuildProgress {
  uint64_t bytes = 0;
  uint64_t bytes_all = 0;  // of the input
  uint64_t rows = 0;
  bool makes_index = false;  // the last step, after all lines have been read
};

// What was made.
struct BuildResult {
  uint64_t rows = 0;
  uint64_t dimension = 0;
};

// Reads the lines, and writes keys, rows, table.json with checksums, and the index. Nothing is at
// `output` before it is complete. `progress` is called now and then. Errors: INVALID_ARGUMENT with
// the line that is wrong; FAILED_PRECONDITION if the folder exists; INTERNAL if it cannot be
// written.
StatusOr<BuildResult> BuildTable(const BuildOptions& options,
                                 const std::function<void(const BuildProgress&)>& progress);

}  // namespace penstock::tables
