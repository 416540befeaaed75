// SPDX-License-Identifier: Apache-2.0
#include "convert/caffe2/fill_operators.h"

#include <algorithm>
#include <climits>
#include <utility>

#include "convert/caffe2/value_inputs.h"

namespace penstock::convert {
namespace {

using onnx::TensorProto;

// Constants of at most this many whole numbers may be shapes.
constexpr int64_t kIntegersMax = kRankMax;

Status CheckShape(std::span<const int64_t> shape) {
  const bool is_shape = shape.size() <= kRankMax &&
                        std::all_of(shape.begin(), shape.end(),
                                    [](int64_t dim) { return dim >= 0 && dim <= kDimMax; });
  if (is_shape) return OkStatus();
  return InvalidArgument("the shape has {} sizes, or one below 0", shape.size());
}

// The shape of a fill: the argument, or that of its input and more dimensions.
StatusOr<Dims> FillShape(const Operation& op) {
  ASSIGN_OR_RETURN(Dims shape, op.args().Ints("shape"));
  ASSIGN_OR_RETURN(const Dims extra, op.args().Ints("extra_shape"));
  ASSIGN_OR_RETURN(const bool from_elements, op.args().Flag("input_as_shape"));
  if (op.input_count() > 0) {
    if (!shape.empty()) return InvalidArgument("it has both a shape and an input");
    ASSIGN_OR_RETURN(const Blob input, op.Input(0));
    if (from_elements ? !input.integers : !Product(input.dims))
      return InvalidArgument("the shape of its input '{}' is not constant", op.input_name(0));
    shape = from_elements ? *input.integers : input.dims;
    shape.insert(shape.end(), extra.begin(), extra.end());
  } else if (!extra.empty()) {
    return InvalidArgument("extra_shape only goes with an input");
  }
  TRY(CheckShape(shape));
  return shape;
}

template <typename T, typename Values>
std::string Bytes(const Values& values) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(values.size()) * sizeof(T));
  for (const auto value : values) {
    const auto element = static_cast<T>(value);
    bytes.append(reinterpret_cast<const char*>(&element), sizeof(T));
  }
  return bytes;
}

// The elements of the argument "values" as bytes of the ONNX type `type`, which is one of those
// below.
std::string ElementsAs(int type, const ::caffe2::Argument& values) {
  switch (type) {
    case TensorProto::FLOAT:
      return {reinterpret_cast<const char*>(values.floats().data()),
              static_cast<size_t>(values.floats_size()) * sizeof(float)};
    case TensorProto::DOUBLE:
      return Bytes<double>(values.floats());
    case TensorProto::BOOL: {
      std::string bools;
      for (const int64_t value : values.ints()) bools.push_back(value != 0 ? 1 : 0);
      return bools;
    }
    case TensorProto::INT16:
      return Bytes<int16_t>(values.ints());
    case TensorProto::INT32:
      return Bytes<int32_t>(values.ints());
    default:
      return Bytes<int64_t>(values.ints());
  }
}

bool IsInteger(int type) { return type == TensorProto::INT32 || type == TensorProto::INT64; }

Status TranslateGiven(Operation& op, int type) {
  TRY(op.CheckCounts(0, 1, 1));
  ASSIGN_OR_RETURN(Dims dims, FillShape(op));
  const ::caffe2::Argument* const values = op.args().Find("values");
  if (values == nullptr) return InvalidArgument("it has no argument values");
  const bool is_float = type == TensorProto::FLOAT || type == TensorProto::DOUBLE;
  const int64_t count = is_float ? values->floats_size() : values->ints_size();
  if (Product(dims) != count)
    return InvalidArgument("it has {} {} for the shape {}", count,
                           is_float ? "numbers (floats)" : "whole numbers (ints)", DimsText(dims));
  TensorProto tensor;
  tensor.set_raw_data(ElementsAs(type, *values));
  op.GiveConstant(0, type, std::move(dims), std::move(tensor));
  if (IsInteger(type) && count <= kIntegersMax)
    op.SetIntegers(0, {values->ints().begin(), values->ints().end()});
  return OkStatus();
}

// The type of a GivenTensorFill: newer nets name it.
StatusOr<int> GivenType(const Operation& op) {
  ASSIGN_OR_RETURN(const int64_t number, op.args().Int("dtype", 1));
  const int type = OnnxType(number);
  switch (type) {
    case TensorProto::FLOAT:
    case TensorProto::DOUBLE:
    case TensorProto::BOOL:
    case TensorProto::INT16:
    case TensorProto::INT32:
    case TensorProto::INT64:
      return type;
    default:
      return InvalidArgument("dtype is {}, which is not imported", number);
  }
}

// The type of a ConstantFill: "dtype", or else that of the value.
StatusOr<int> ConstantType(const Operation& op) {
  const ::caffe2::Argument* const value = op.args().Find("value");
  if (!op.args().Has("dtype"))
    return value != nullptr && !value->has_f() && value->has_i() ? TensorProto::INT64
                                                                 : TensorProto::FLOAT;
  ASSIGN_OR_RETURN(const int64_t number, op.args().Int("dtype", 1));
  const int type = OnnxType(number);
  if (type == TensorProto::FLOAT || type == TensorProto::BOOL || IsInteger(type)) return type;
  return InvalidArgument("dtype is {}, which is not imported", number);
}

}  // namespace

Status TranslateGivenFloats(Operation& op) {
  ASSIGN_OR_RETURN(const int type, GivenType(op));
  return TranslateGiven(op, type);
}
Status TranslateGivenDoubles(Operation& op) { return TranslateGiven(op, TensorProto::DOUBLE); }
Status TranslateGivenBools(Operation& op) { return TranslateGiven(op, TensorProto::BOOL); }
Status TranslateGivenInt16s(Operation& op) { return TranslateGiven(op, TensorProto::INT16); }
Status TranslateGivenInt32s(Operation& op) { return TranslateGiven(op, TensorProto::INT32); }
Status TranslateGivenInt64s(Operation& op) { return TranslateGiven(op, TensorProto::INT64); }

Status TranslateConstantFill(Operation& op) {
  TRY(op.CheckCounts(0, 1, 1));
  ASSIGN_OR_RETURN(const Dims dims, FillShape(op));
  ASSIGN_OR_RETURN(const int type, ConstantType(op));
  const std::optional<int64_t> count = Product(dims);
  if (!count || *count > INT_MAX / static_cast<int64_t>(ElementBytes(type)))
    return InvalidArgument("the constant of the shape {} is larger than 2 GiB", DimsText(dims));
  TensorProto value;
  if (type == TensorProto::FLOAT) {
    ASSIGN_OR_RETURN(const float number, op.args().Float("value", 0));
    value.set_raw_data(&number, sizeof(number));
    op.GiveFill(0, type, dims, std::move(value));
    return OkStatus();
  }
  ASSIGN_OR_RETURN(const int64_t number, op.args().Int("value", 0));
  ::caffe2::Argument one;
  one.add_ints(number);
  value.set_raw_data(ElementsAs(type, one));
  op.GiveFill(0, type, dims, std::move(value));
  if (IsInteger(type) && *count <= kIntegersMax)
    op.SetIntegers(0, std::vector<int64_t>(static_cast<size_t>(*count), number));
  return OkStatus();
}

Status RefuseRandomFill(Operation& op) {
  return InvalidArgument(
      "a {} makes random numbers, so the net does not hold the weights; save the trained weights "
      "as GivenTensorFill",
      op.type());
}

}  // namespace penstock::convert
