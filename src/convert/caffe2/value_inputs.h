// SPDX-License-Identifier: Apache-2.0
// The types and shapes of a Caffe2 model's inputs, which its nets do not say.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "convert/caffe2/dims.h"

namespace penstock::convert {

// One input of the model. Immutable.
struct ValueInput {
  std::string name;
  int type;   // as onnx::TensorProto::DataType
  Dims dims;  // as the file has them: the first one is the rows of an example request
};

// Parses the text of a value_inputs.json, such as {"data_0": [1, [1, 3, 227, 227]]}: by the name of
// the input, the number of its type in Caffe2, and its shape. INVALID_ARGUMENT says what is wrong.
StatusOr<std::vector<ValueInput>> ParseValueInputs(std::string_view json);

// Returns the ONNX type for the number of a Caffe2 type, and 0 for one that is not served.
int OnnxType(int64_t caffe2_type);

// Returns the size of an element of an ONNX type in bytes.
size_t ElementBytes(int onnx_type);

}  // namespace penstock::convert
