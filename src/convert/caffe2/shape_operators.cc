// SPDX-License-Identifier: Apache-2.0
// Operators that only change the shape of a tensor.
#include <algorithm>

#include "convert/caffe2/axis.h"
#include "convert/caffe2/tensor_operators.h"

namespace penstock::convert {
namespace {

// The shape that a Reshape asks for: 0 keeps a size, and one -1 takes what is left.
StatusOr<std::vector<int64_t>> AskedShape(const Operation& op) {
  if (op.input_count() < 2) {
    if (!op.args().Has("shape")) return InvalidArgument("it has no argument shape");
    return op.args().Ints("shape");
  }
  if (op.args().Has("shape"))
    return InvalidArgument("it has both an argument shape and an input with the shape");
  ASSIGN_OR_RETURN(const Blob shape, op.Input(1));
  if (!shape.integers || shape.dims.size() != 1)
    return InvalidArgument("the shape '{}' is computed; only constant shapes are imported",
                           op.input_name(1));
  return *shape.integers;
}

// Replaces each 0 by the size of the input. Returns the position of the -1, or nothing.
StatusOr<std::optional<size_t>> Resolve(const Dims& in, std::vector<int64_t>& shape) {
  std::optional<size_t> rest;
  if (shape.size() > kRankMax) return InvalidArgument("the shape has {} sizes", shape.size());
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] < -1 || shape[axis] > kDimMax)
      return InvalidArgument("the shape has the size {}", shape[axis]);
    if (shape[axis] == -1) {
      if (rest) return InvalidArgument("the shape {} has more than one -1", DimsText(shape));
      rest = axis;
    } else if (shape[axis] == 0) {
      if (axis >= in.size())
        return InvalidArgument("the shape keeps size {} of an input that has {} dimensions", axis,
                               in.size());
      shape[axis] = in[axis];
    }
  }
  return rest;
}

Status WrongSize(const Dims& in, const std::vector<int64_t>& asked) {
  return InvalidArgument("a tensor of the shape {} cannot get the shape [{}]", DimsText(in),
                         fmt::join(asked, ", "));
}

// The sizes of an output of `asked` if the input's sizes are all known.
StatusOr<Dims> FixedShape(const Dims& in, const std::vector<int64_t>& asked) {
  std::vector<int64_t> shape = asked;
  ASSIGN_OR_RETURN(const std::optional<size_t> rest, Resolve(in, shape));
  const std::optional<int64_t> total = Product(in);
  if (rest) shape[*rest] = 1;
  const std::optional<int64_t> given = Product(shape);
  if (!total || !given) return InvalidArgument("the tensor is too large");
  if (rest && *given > 0 && *total % *given == 0) shape[*rest] = *total / *given;
  if (Product(shape) != total) return WrongSize(in, asked);
  return shape;
}

// True if `asked` keeps each row a row: its first size stands for the rows, and the others hold the
// elements of one. Sets them in `asked`.
bool KeepsRows(const Operation& op, const Dims& in, std::vector<int64_t>& asked) {
  if (in.empty() || in[0] != kRows || asked.empty()) return false;
  // A net that was exported with a fixed number of rows has it in its shapes.
  const bool stands_for_rows = asked[0] == 0 || asked[0] == -1 || asked[0] == op.rows();
  if (!stands_for_rows) return false;
  // Another -1 would take what the first one takes.
  if (asked[0] == -1 && std::find(asked.begin() + 1, asked.end(), -1) != asked.end()) return false;
  std::vector<int64_t> within = asked;
  within[0] = 1;
  Dims row = in;
  row[0] = 1;
  const StatusOr<Dims> fixed = FixedShape(row, within);
  if (!fixed.ok()) return false;
  asked = *fixed;
  asked[0] = 0;
  return true;
}

}  // namespace

Status TranslateReshape(Operation& op) {
  TRY(op.CheckCounts(1, 2, 2));
  ASSIGN_OR_RETURN(const Blob x, op.Input(0));
  ASSIGN_OR_RETURN(std::vector<int64_t> asked, AskedShape(op));
  Dims dims;
  if (KeepsRows(op, x.dims, asked)) {
    dims = asked;
    dims[0] = kRows;
  } else if (Product(x.dims)) {
    ASSIGN_OR_RETURN(dims, FixedShape(x.dims, asked));
  } else {
    dims = asked;
    ASSIGN_OR_RETURN(const std::optional<size_t> rest, Resolve(x.dims, dims));
    if (rest) dims[*rest] = kUnknown;
    dims = MixRows(std::move(dims));
  }
  if (op.IsOutputRead(1)) {
    const auto rank = static_cast<int64_t>(x.dims.size());
    op.Give(1, MakeNode("Shape", {x.value}), onnx::TensorProto::INT64, {rank});
  }
  op.Give(0, MakeNode("Reshape", {x.value, op.Integers(asked)}), x.type, std::move(dims));
  return OkStatus();
}

Status TranslateTranspose(Operation& op) {
  TRY(op.CheckCounts(1, 1, 1));
  ASSIGN_OR_RETURN(const Blob x, op.Input(0));
  ASSIGN_OR_RETURN(std::vector<int64_t> axes, op.args().Ints("axes"));
  const size_t rank = x.dims.size();
  if (axes.empty()) {  // reverses them
    for (size_t axis = rank; axis > 0; --axis) axes.push_back(static_cast<int64_t>(axis) - 1);
  }
  std::vector<bool> seen(rank, false);
  Dims dims;
  for (const int64_t axis : axes) {
    const bool is_new = axis >= 0 && static_cast<size_t>(axis) < rank && axes.size() == rank &&
                        !seen[static_cast<size_t>(axis)];
    if (!is_new)
      return InvalidArgument("axes are [{}]; right would be each number below {} once",
                             fmt::join(axes, ", "), rank);
    seen[static_cast<size_t>(axis)] = true;
    dims.push_back(x.dims[static_cast<size_t>(axis)]);
  }
  if (!dims.empty() && axes[0] != 0) dims = MixRows(std::move(dims));
  onnx::NodeProto node = MakeNode("Transpose", {x.value});
  SetInts(node, "perm", axes);
  op.Give(0, std::move(node), x.type, std::move(dims));
  return OkStatus();
}

Status TranslateFlatten(Operation& op) {
  TRY(op.CheckCounts(1, 1, 1));
  ASSIGN_OR_RETURN(const Blob x, op.Input(0));
  ASSIGN_OR_RETURN(const int64_t asked, op.args().Int("axis", 1));
  const auto rank = static_cast<int64_t>(x.dims.size());
  if (asked < 0 || asked > rank)
    return InvalidArgument("axis is {}, and the blob has {} dimensions", asked, rank);
  const std::span<const int64_t> dims = x.dims;
  const auto axis = static_cast<size_t>(asked);
  const auto size = [](std::span<const int64_t> part) { return Product(part).value_or(kUnknown); };
  int64_t outer = size(dims.first(axis));
  if (axis > 0 && dims[0] == kRows && Product(dims.subspan(1, axis - 1)) == 1) outer = kRows;
  onnx::NodeProto node = MakeNode("Flatten", {x.value});
  SetInt(node, "axis", asked);
  op.Give(0, std::move(node), x.type, {outer, size(dims.subspan(axis))});
  return OkStatus();
}

}  // namespace penstock::convert
