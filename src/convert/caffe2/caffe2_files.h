// SPDX-License-Identifier: Apache-2.0
// Reads a Caffe2 model from its files.
#pragma once

#include <string>

#include "base/status.h"

namespace penstock::convert {

// The paths of a model's files.
struct Caffe2Files {
  std::string init_net;      // a NetDef that makes the weights
  std::string predict_net;   // a NetDef that computes the outputs
  std::string value_inputs;  // JSON: see ParseValueInputs
};

// Returns the files of a version's folder: init_net.pb, predict_net.pb and value_inputs.json.
Caffe2Files Caffe2FilesIn(const std::string& folder);

// Returns the bytes of the ONNX model (ModelProto) that computes the same. Takes the memory of the
// weights about twice. Errors name the file; NOT_FOUND if it is not there, else INVALID_ARGUMENT.
StatusOr<std::string> ImportCaffe2(const Caffe2Files& files);

}  // namespace penstock::convert
