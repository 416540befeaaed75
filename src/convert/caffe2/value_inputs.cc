// SPDX-License-Identifier: Apache-2.0
#include "convert/caffe2/value_inputs.h"

#include <simdjson.h>

#include <set>

#include "onnx/onnx.pb.h"

namespace penstock::convert {
namespace {

using onnx::TensorProto;
using simdjson::dom::element;

constexpr std::string_view kExample = R"({"data_0": [1, [1, 3, 227, 227]]})";
constexpr size_t kInputsMax = 10'000;

StatusOr<Dims> ParseDims(std::string_view name, const element& value) {
  simdjson::dom::array sizes;
  if (value.get(sizes) != simdjson::SUCCESS)
    return InvalidArgument("input '{}': the shape is no list of sizes", name);
  Dims dims;
  for (const element size : sizes) {
    int64_t number = 0;
    if (size.get(number) != simdjson::SUCCESS || number < 0 || number > kDimMax)
      return InvalidArgument("input '{}': size {} of the shape is no whole number from 0 to {}",
                             name, dims.size(), kDimMax);
    if (dims.size() == kRankMax)
      return InvalidArgument("input '{}': a shape has at most {} sizes", name, kRankMax);
    dims.push_back(number);
  }
  return dims;
}

StatusOr<ValueInput> ParseInput(std::string_view name, const element& value) {
  simdjson::dom::array pair;
  if (value.get(pair) != simdjson::SUCCESS || pair.size() != 2)
    return InvalidArgument("input '{}' has no type and shape, as in {}", name, kExample);
  int64_t type = 0;
  if (pair.at(0).get(type) != simdjson::SUCCESS)
    return InvalidArgument("input '{}': the type is no number, as in {}", name, kExample);
  ValueInput input{.name = std::string(name), .type = OnnxType(type), .dims = {}};
  if (input.type == 0)
    return InvalidArgument(
        "input '{}': the type {} is none of those that are served: 1 (float), 2 (int32), "
        "3 and 6 (uint8), 5 (bool), 7 (int8), 8 (uint16), 9 (int16), 10 (int64), 12 (float16), "
        "13 (double)",
        name, type);
  ASSIGN_OR_RETURN(input.dims, ParseDims(name, pair.at(1)));
  return input;
}

}  // namespace

int OnnxType(int64_t caffe2_type) {
  switch (caffe2_type) {
    case 1:
      return TensorProto::FLOAT;
    case 2:
      return TensorProto::INT32;
    case 3:  // BYTE, which Caffe2 reads as uint8
    case 6:
      return TensorProto::UINT8;
    case 5:
      return TensorProto::BOOL;
    case 7:
      return TensorProto::INT8;
    case 8:
      return TensorProto::UINT16;
    case 9:
      return TensorProto::INT16;
    case 10:
      return TensorProto::INT64;
    case 12:
      return TensorProto::FLOAT16;
    case 13:
      return TensorProto::DOUBLE;
    default:  // 4 is STRING, which no operator here takes
      return 0;
  }
}

size_t ElementBytes(int onnx_type) {
  switch (onnx_type) {
    case TensorProto::INT64:
    case TensorProto::DOUBLE:
      return 8;
    case TensorProto::FLOAT:
    case TensorProto::INT32:
      return 4;
    case TensorProto::UINT16:
    case TensorProto::INT16:
    case TensorProto::FLOAT16:
      return 2;
    default:
      return 1;
  }
}

StatusOr<std::vector<ValueInput>> ParseValueInputs(std::string_view json) {
  simdjson::dom::parser parser;
  element document;
  if (const auto error = parser.parse(json).get(document); error != simdjson::SUCCESS)
    return InvalidArgument("it is no JSON ({}); right would be {}", simdjson::error_message(error),
                           kExample);
  simdjson::dom::object inputs;
  if (document.get(inputs) != simdjson::SUCCESS)
    return InvalidArgument("it is no JSON object; right would be {}", kExample);
  std::vector<ValueInput> result;
  std::set<std::string_view> names;
  for (const auto& [name, value] : inputs) {
    if (name.empty()) return InvalidArgument("an input has no name");
    if (!names.insert(name).second) return InvalidArgument("the input '{}' is there twice", name);
    if (result.size() == kInputsMax)
      return InvalidArgument("a model has at most {} inputs", kInputsMax);
    ASSIGN_OR_RETURN(ValueInput input, ParseInput(name, value));
    result.push_back(std::move(input));
  }
  if (result.empty()) return InvalidArgument("it names no input; right would be {}", kExample);
  return result;
}

}  // namespace penstock::convert
