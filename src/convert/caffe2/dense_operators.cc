// SPDX-License-Identifier: Apache-2.0
// Fully connected layers, and functions of one tensor.
#include <algorithm>

#include "convert/caffe2/axis.h"
#include "convert/caffe2/tensor_operators.h"

namespace penstock::convert {
namespace {

// The weights of an FC as a matrix [outputs, inputs].
struct Weights {
  std::string value;
  int64_t outputs = 0;
  int64_t inputs = 0;
};

StatusOr<Weights> ReadWeights(Operation& op) {
  ASSIGN_OR_RETURN(const Blob blob, op.Input(1));
  ASSIGN_OR_RETURN(const size_t axis, ReadAxis(op.args(), "axis_w", 1, blob.dims.size()));
  const std::span<const int64_t> dims = blob.dims;
  const std::optional<int64_t> outputs = Product(dims.first(axis));
  const std::optional<int64_t> inputs = Product(dims.subspan(axis));
  if (!outputs || !inputs)
    return InvalidArgument("the weights '{}' have the shape {}, which is not known",
                           op.input_name(1), DimsText(dims));
  Weights weights{.value = blob.value, .outputs = *outputs, .inputs = *inputs};
  const Dims matrix = {*outputs, *inputs};
  if (blob.dims != matrix)
    weights.value = op.Step(MakeNode("Reshape", {blob.value, op.Integers(matrix)}));
  return weights;
}

Status GiveUnary(Operation& op, std::string_view type) {
  ASSIGN_OR_RETURN(Blob blob, op.Input(0));
  op.Give(0, MakeNode(type, {blob.value}), blob.type, std::move(blob.dims));
  return OkStatus();
}

}  // namespace

Status TranslateFc(Operation& op) {
  TRY(op.CheckCounts(3, 3, 1));
  ASSIGN_OR_RETURN(const Blob x, op.Input(0));
  ASSIGN_OR_RETURN(const size_t axis, ReadAxis(op.args(), "axis", 1, x.dims.size()));
  ASSIGN_OR_RETURN(const Weights weights, ReadWeights(op));
  ASSIGN_OR_RETURN(const Blob bias, op.Input(2));
  const std::optional<int64_t> inputs = Product(std::span(x.dims).subspan(axis));
  if (inputs != weights.inputs)
    return InvalidArgument(
        "its input '{}' has the shape {}; from axis {} on, right would be {} "
        "elements, as the weights have columns",
        op.input_name(0), DimsText(x.dims), axis, weights.inputs);
  if (bias.dims != Dims{weights.outputs})
    return InvalidArgument("the bias '{}' has the shape {}; right would be [{}]", op.input_name(2),
                           DimsText(bias.dims), weights.outputs);
  std::string matrix = x.value;
  if (axis != 1 || x.dims.size() != 2) {
    onnx::NodeProto flatten = MakeNode("Flatten", {x.value});
    SetInt(flatten, "axis", static_cast<int64_t>(axis));
    matrix = op.Step(std::move(flatten));
  }
  onnx::NodeProto gemm = MakeNode("Gemm", {matrix, weights.value, bias.value});
  SetInt(gemm, "transB", 1);
  Dims dims(x.dims.begin(), x.dims.begin() + static_cast<ptrdiff_t>(axis));
  dims.push_back(weights.outputs);
  if (axis == 1) {
    op.Give(0, std::move(gemm), x.type, std::move(dims));
    return OkStatus();
  }
  // The sizes of `dims` but the first are known, or else `inputs` and `outputs` would not be all.
  if (std::any_of(dims.begin() + 1, dims.end(), [](int64_t dim) { return dim < 0; }))
    return InvalidArgument("its input '{}' has the shape {}, which is not known", op.input_name(0),
                           DimsText(x.dims));
  std::vector<int64_t> shape = dims;
  if (shape[0] < 0) shape[0] = -1;
  const std::string product = op.Step(std::move(gemm));
  op.Give(0, MakeNode("Reshape", {product, op.Integers(shape)}), x.type, std::move(dims));
  return OkStatus();
}

Status TranslateSoftmax(Operation& op) {
  TRY(op.CheckCounts(1, 1, 1));
  ASSIGN_OR_RETURN(const Blob x, op.Input(0));
  ASSIGN_OR_RETURN(const size_t axis, ReadAxis(op.args(), "axis", 1, x.dims.size()));
  onnx::NodeProto node = MakeNode("Softmax", {x.value});
  SetInt(node, "axis", static_cast<int64_t>(axis));
  // From axis 0 on, all rows are one vector.
  op.Give(0, std::move(node), x.type, axis == 0 ? MixRows(x.dims) : x.dims);
  return OkStatus();
}

Status TranslateRelu(Operation& op) {
  TRY(op.CheckCounts(1, 1, 1));
  return GiveUnary(op, "Relu");
}

Status TranslateSigmoid(Operation& op) {
  TRY(op.CheckCounts(1, 1, 1));
  return GiveUnary(op, "Sigmoid");
}

Status TranslateTanh(Operation& op) {
  TRY(op.CheckCounts(1, 1, 1));
  return GiveUnary(op, "Tanh");
}

Status TranslateDropout(Operation& op) {
  TRY(op.CheckCounts(1, 1, 2));
  ASSIGN_OR_RETURN(const bool is_test, op.args().Flag("is_test"));
  if (!is_test)
    return InvalidArgument("it is in training mode, where answers are random; set is_test to 1");
  TRY(GiveUnary(op, "Identity"));
  op.Withhold(1, "the mask of a Dropout, which has none when is_test is 1");
  return OkStatus();
}

}  // namespace penstock::convert
