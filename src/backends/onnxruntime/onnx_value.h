// SPDX-License-Identifier: Apache-2.0
// Reads the values of small tensors in an ONNX file.
#pragma once

#include <optional>

#include "penstock/backend.hpp"
#include "proto_file.h"

namespace penstock::onnxruntime {

// The value of a TensorProto. None if it has more than 64 KiB, lies in another file, is malformed,
// or has a type that requests cannot carry.
std::optional<plugin::Value> ReadSmallTensor(Fields tensor);

}  // namespace penstock::onnxruntime
