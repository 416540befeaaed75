// SPDX-License-Identifier: Apache-2.0
// Cuts an ONNX model in two: its large look-up tables, and the rest.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace penstock::tables {

// What `penstock table extract` is asked for.
struct ExtractOptions {
  std::string model = {};   // an .onnx file, or the folder of a version that has one
  std::string output = {};  // a folder, which must not exist
  std::string name = {};    // of the model that is served; empty: by the name of `model`
  uint64_t bytes_min = uint64_t{64} << 20;  // smaller tensors stay where they are
};

// A table that was taken out.
struct ExtractedTable {
  std::string name;   // of the tensor
  std::string model;  // that is served
  std::string dtype;
  uint64_t rows = 0;
  uint64_t dimension = 0;
  uint64_t bytes = 0;
  uint64_t gathers = 0;  // how many nodes look up in it
};

// A large tensor that stays, and why.
struct KeptTensor {
  std::string name;
  uint64_t bytes = 0;
  std::string reason;
};

// What was made.
struct ExtractResult {
  std::string name;  // of the ensemble
  std::string config_file;
  std::vector<ExtractedTable> tables;
  std::vector<KeptTensor> kept;
  uint64_t rest_bytes = 0;  // of the rest of the model
};

// How far it is.
struct ExtractProgress {
  uint64_t bytes = 0;
  uint64_t bytes_all = 0;
};

// Writes the tables, the rest of the model, and the model_config_file that serves them as an
// ensemble with the signature of the model. A table is copied in blocks and is never in memory as a
// whole. Nothing is at `output` before it is complete. `progress` is called now and then.
// Errors: NOT_FOUND if there is no model; INVALID_ARGUMENT if it is malformed;
// FAILED_PRECONDITION if the folder exists, or no tensor can be taken out: then with the reasons;
// INTERNAL if a file cannot be written.
StatusOr<ExtractResult> ExtractTables(const ExtractOptions& options,
                                      const std::function<void(const ExtractProgress&)>& progress);

}  // namespace penstock::tables
