// SPDX-License-Identifier: Apache-2.0
// Operators that make one tensor of several.
//
// Add and Mul have two rules to combine shapes. Without "broadcast" they have numpy's rule. With
// it, they have Caffe2's older rule: the second tensor is a part of the first one's shape, which
// begins at "axis", and the result has the first one's shape.
#include <algorithm>

#include "convert/caffe2/axis.h"
#include "convert/caffe2/tensor_operators.h"

namespace penstock::convert {
namespace {

StatusOr<std::vector<Blob>> ReadAll(const Operation& op) {
  std::vector<Blob> blobs;
  for (size_t index = 0; index < op.input_count(); ++index) {
    ASSIGN_OR_RETURN(Blob blob, op.Input(index));
    blobs.push_back(std::move(blob));
  }
  return blobs;
}

std::vector<std::string> Values(const std::vector<Blob>& blobs) {
  std::vector<std::string> values;
  for (const Blob& blob : blobs) values.push_back(blob.value);
  return values;
}

Status Mismatch(const Operation& op, size_t index, const Blob& first, const Blob& other) {
  return InvalidArgument("the shape {} of its input '{}' does not fit the shape {} of '{}'",
                         DimsText(other.dims), op.input_name(index), DimsText(first.dims),
                         op.input_name(0));
}

// Merges the sizes of blobs that must agree in all dimensions but `free_axis`.
StatusOr<Dims> MergeDims(const Operation& op, const std::vector<Blob>& blobs, size_t free_axis) {
  Dims dims = blobs[0].dims;
  for (size_t index = 1; index < blobs.size(); ++index) {
    const Dims& other = blobs[index].dims;
    if (other.size() != dims.size()) return Mismatch(op, index, blobs[0], blobs[index]);
    for (size_t axis = 0; axis < dims.size(); ++axis) {
      if (axis == free_axis) continue;
      const std::optional<int64_t> size = SameDim(dims[axis], other[axis]);
      if (!size) return Mismatch(op, index, blobs[0], blobs[index]);
      dims[axis] = *size;
    }
  }
  return dims;
}

// Concat's axis: "axis", or the channels of "order".
StatusOr<size_t> ConcatAxis(const Arguments& args, size_t rank) {
  if (args.Has("axis")) return ReadAxis(args, "axis", 1, rank);
  ASSIGN_OR_RETURN(const bool is_nhwc, args.IsNhwc());
  return ReadAxis(args, "axis", is_nhwc ? 3 : 1, rank);
}

// Gives Concat's second output: the sizes of the inputs along the axis.
Status GiveSplitInfo(Operation& op, const std::vector<Blob>& blobs, size_t axis) {
  if (!op.IsOutputRead(1)) return OkStatus();
  std::vector<int32_t> sizes;
  for (const Blob& blob : blobs) {
    if (blob.dims[axis] < 0)
      return InvalidArgument("its second output is read, and depends on the number of rows");
    sizes.push_back(static_cast<int32_t>(blob.dims[axis]));
  }
  onnx::TensorProto tensor;
  tensor.set_raw_data(sizes.data(), sizes.size() * sizeof(int32_t));
  op.GiveConstant(1, onnx::TensorProto::INT32, {static_cast<int64_t>(sizes.size())},
                  std::move(tensor));
  op.SetIntegers(1, {sizes.begin(), sizes.end()});
  return OkStatus();
}

// The sizes of the result of numpy's rule.
StatusOr<Dims> NumpyDims(const Operation& op, const Blob& a, const Blob& b) {
  const size_t rank = std::max(a.dims.size(), b.dims.size());
  Dims dims(rank);
  bool mixes_rows = false;
  for (size_t axis = 0; axis < rank; ++axis) {
    const auto size = [&](const Blob& blob) {
      const size_t missing = rank - blob.dims.size();
      const int64_t dim = axis < missing ? 1 : blob.dims[axis - missing];
      // Row i would be combined with something else than row i.
      mixes_rows = mixes_rows || (dim == kRows && axis > 0);
      return dim;
    };
    const int64_t of_a = size(a);
    const int64_t of_b = size(b);
    const std::optional<int64_t> merged = of_a == 1 ? of_b : of_b == 1 ? of_a : SameDim(of_a, of_b);
    if (!merged) return Mismatch(op, 1, a, b);
    dims[axis] = *merged;
  }
  return mixes_rows ? MixRows(std::move(dims)) : dims;
}

// The axis of the first tensor where the second one begins.
StatusOr<size_t> BroadcastAxis(const Operation& op, const Blob& a, const Blob& b) {
  const Arguments& args = op.args();
  if (a.dims.size() < b.dims.size()) return Mismatch(op, 1, a, b);
  const auto last = static_cast<int64_t>(a.dims.size() - b.dims.size());
  ASSIGN_OR_RETURN(int64_t axis, args.Int("axis", -1));
  ASSIGN_OR_RETURN(const std::string letter, args.Text("axis_str", ""));
  ASSIGN_OR_RETURN(const std::string order, args.Text("order", "NCHW"));
  if (!letter.empty()) {
    if (axis != -1) return InvalidArgument("it has both an axis and an axis_str");
    const size_t found = order.find(letter);
    if (letter.size() != 1 || found == std::string::npos)
      return InvalidArgument("axis_str is no letter of the order");
    axis = static_cast<int64_t>(found);
  }
  if (axis == -1) axis = last;
  if (axis < 0 || axis > last)
    return InvalidArgument("axis is {}; right would be a number from 0 to {}", axis, last);
  return static_cast<size_t>(axis);
}

// The older rule. Appends dimensions of size 1 to the second tensor, so that numpy's rule does the
// same.
StatusOr<Dims> AlignBroadcast(Operation& op, const Blob& a, Blob& b) {
  if (Product(b.dims) == 1) {
    if (b.dims.size() > a.dims.size()) {
      b.value = op.Step(MakeNode("Reshape", {b.value, op.Integers({})}));
      b.dims = {};
    }
    return a.dims;
  }
  ASSIGN_OR_RETURN(const size_t axis, BroadcastAxis(op, a, b));
  // Only sizes of 1 at the ends of the second tensor are repeated.
  const auto is_one = [](int64_t dim) { return dim == 1; };
  const auto begin = std::find_if_not(b.dims.begin(), b.dims.end(), is_one) - b.dims.begin();
  const auto end = b.dims.rend() - std::find_if_not(b.dims.rbegin(), b.dims.rend(), is_one);
  Dims dims = a.dims;
  bool mixes_rows = false;
  for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
    const std::optional<int64_t> size = SameDim(a.dims[axis + i], b.dims[i]);
    if (!size) return Mismatch(op, 1, a, b);
    dims[axis + i] = *size;
    mixes_rows = mixes_rows || (b.dims[i] == kRows && axis + i > 0);
  }
  std::vector<int64_t> added;
  for (size_t i = axis + b.dims.size(); i < a.dims.size(); ++i) {
    added.push_back(static_cast<int64_t>(i - axis));
    b.dims.push_back(1);
  }
  if (!added.empty()) {
    onnx::NodeProto node = MakeNode("Unsqueeze", {b.value});
    SetInts(node, "axes", added);
    b.value = op.Step(std::move(node));
  }
  return mixes_rows ? MixRows(std::move(dims)) : dims;
}

Status TranslateBinary(Operation& op, std::string_view type) {
  TRY(op.CheckCounts(2, 2, 1));
  ASSIGN_OR_RETURN(const Blob a, op.Input(0));
  ASSIGN_OR_RETURN(Blob b, op.Input(1));
  ASSIGN_OR_RETURN(const bool is_broadcast, op.args().Flag("broadcast"));
  Dims dims;
  if (is_broadcast) {
    ASSIGN_OR_RETURN(dims, AlignBroadcast(op, a, b));
  } else {
    if (op.args().Has("axis") || op.args().Has("axis_str"))
      return InvalidArgument("it has an axis, which only counts if broadcast is 1");
    ASSIGN_OR_RETURN(dims, NumpyDims(op, a, b));
  }
  op.Give(0, MakeNode(type, {a.value, b.value}), a.type, std::move(dims));
  return OkStatus();
}

}  // namespace

Status TranslateConcat(Operation& op) {
  TRY(op.CheckCounts(1, SIZE_MAX, 2));
  ASSIGN_OR_RETURN(const bool adds_axis, op.args().Flag("add_axis"));
  if (adds_axis) return InvalidArgument("add_axis is not imported");
  ASSIGN_OR_RETURN(const std::vector<Blob> blobs, ReadAll(op));
  ASSIGN_OR_RETURN(const size_t axis, ConcatAxis(op.args(), blobs[0].dims.size()));
  ASSIGN_OR_RETURN(Dims dims, MergeDims(op, blobs, axis));
  int64_t size = 0;
  for (const Blob& blob : blobs) {
    const int64_t part = blob.dims[axis];
    size = size < 0 || part < 0 ? kUnknown : size + part;
  }
  if (size > kDimMax) return InvalidArgument("the output is too large");
  dims[axis] = size;
  TRY(GiveSplitInfo(op, blobs, axis));
  onnx::NodeProto node = MakeNode("Concat", Values(blobs));
  SetInt(node, "axis", static_cast<int64_t>(axis));
  op.Give(0, std::move(node), blobs[0].type, std::move(dims));
  return OkStatus();
}

Status TranslateSum(Operation& op) {
  TRY(op.CheckCounts(1, SIZE_MAX, 1));
  ASSIGN_OR_RETURN(const std::vector<Blob> blobs, ReadAll(op));
  ASSIGN_OR_RETURN(Dims dims, MergeDims(op, blobs, SIZE_MAX));
  op.Give(0, MakeNode("Sum", Values(blobs)), blobs[0].type, std::move(dims));
  return OkStatus();
}

Status TranslateAdd(Operation& op) { return TranslateBinary(op, "Add"); }
Status TranslateMul(Operation& op) { return TranslateBinary(op, "Mul"); }

}  // namespace penstock::convert
