// SPDX-License-Identifier: Apache-2.0
// Operators on images: [rows, channels, height, width] in the order NCHW, and [rows, height, width,
// channels] in NHWC. ONNX knows only the first order, so an operator of the second one gets
// Transposes around it. The runtime removes those that cancel out.
#include "convert/caffe2/image_operators.h"

#include <algorithm>

#include "convert/caffe2/window.h"

namespace penstock::convert {
namespace {

// The axes that turn NHWC into NCHW, for any number of spatial dimensions.
std::vector<int64_t> ToNchwAxes(size_t rank) {
  std::vector<int64_t> axes = {0, static_cast<int64_t>(rank) - 1};
  for (size_t axis = 1; axis + 1 < rank; ++axis) axes.push_back(static_cast<int64_t>(axis));
  return axes;
}

std::vector<int64_t> ToNhwcAxes(size_t rank) {
  std::vector<int64_t> axes = {0};
  for (size_t axis = 2; axis < rank; ++axis) axes.push_back(static_cast<int64_t>(axis));
  axes.push_back(1);
  return axes;
}

Dims Permute(const Dims& dims, const std::vector<int64_t>& axes) {
  Dims result;
  for (const int64_t axis : axes) result.push_back(dims[static_cast<size_t>(axis)]);
  return result;
}

onnx::NodeProto TransposeNode(const std::string& value, const std::vector<int64_t>& axes) {
  onnx::NodeProto node = MakeNode("Transpose", {value});
  SetInts(node, "perm", axes);
  return node;
}

// Turns a blob of the order NHWC into one of NCHW.
void TurnToNchw(Operation& op, Blob& blob) {
  const std::vector<int64_t> axes = ToNchwAxes(blob.dims.size());
  blob.value = op.Step(TransposeNode(blob.value, axes));
  blob.dims = Permute(blob.dims, axes);
}

// An image in the order NCHW, and the order that the operator has.
struct Image {
  Blob blob;
  bool is_nhwc = false;

  int64_t channels() const { return blob.dims[1]; }
  std::span<const int64_t> spatial() const { return std::span(blob.dims).subspan(2); }
};

// Reads input 0. The sizes of all dimensions but the first are known then.
StatusOr<Image> ReadImage(Operation& op) {
  constexpr size_t kRankMin = 3;
  Image image;
  ASSIGN_OR_RETURN(image.is_nhwc, op.args().IsNhwc());
  ASSIGN_OR_RETURN(image.blob, op.Input(0));
  const Dims& dims = image.blob.dims;
  if (dims.size() < kRankMin)
    return InvalidArgument("its input '{}' has the shape {}, and is no image", op.input_name(0),
                           DimsText(dims));
  if (std::any_of(dims.begin() + 1, dims.end(), [](int64_t dim) { return dim <= 0; }))
    return InvalidArgument("its input '{}' has the shape {}, with a size that is 0 or not known",
                           op.input_name(0), DimsText(dims));
  if (image.is_nhwc) TurnToNchw(op, image.blob);
  return image;
}

// Gives output 0. The node computes an image of the order NCHW and of the sizes `dims`.
void GiveImage(Operation& op, const Image& image, onnx::NodeProto node, Dims dims) {
  if (!image.is_nhwc) return op.Give(0, std::move(node), image.blob.type, std::move(dims));
  const std::string value = op.Step(std::move(node));
  const std::vector<int64_t> axes = ToNhwcAxes(dims.size());
  op.Give(0, TransposeNode(value, axes), image.blob.type, Permute(dims, axes));
}

Status CheckVector(const Operation& op, size_t index, const Blob& blob, int64_t size) {
  if (blob.dims == Dims{size}) return OkStatus();
  return InvalidArgument("its input '{}' has the shape {}; right would be [{}]",
                         op.input_name(index), DimsText(blob.dims), size);
}

// Checks the filter against the image.
Status CheckFilter(const Image& image, const Blob& filter, const Window& window, int64_t group) {
  Dims wanted = {kUnknown, image.channels() / std::max<int64_t>(group, 1)};
  wanted.insert(wanted.end(), window.kernel.begin(), window.kernel.end());
  const Dims& dims = filter.dims;
  if (group < 1 || image.channels() % group != 0)
    return InvalidArgument("the image has {} channels, which are no {} equal groups",
                           image.channels(), group);
  const bool fits = dims.size() == wanted.size() && dims[0] > 0 &&
                    std::equal(dims.begin() + 1, dims.end(), wanted.begin() + 1);
  if (!fits)
    return InvalidArgument(
        "the filter has the shape {} (as NCHW); the kernel and {} groups of the {} channels want "
        "{}",
        DimsText(dims), group, image.channels(), DimsText(wanted));
  if (dims[0] % group != 0)
    return InvalidArgument("the filter has {} channels, which are no {} equal groups", dims[0],
                           group);
  return OkStatus();
}

Dims WindowDims(const Image& image, const Window& window, int64_t channels) {
  Dims dims = {image.blob.dims[0], channels};
  dims.insert(dims.end(), window.out.begin(), window.out.end());
  return dims;
}

Status TranslatePool(Operation& op, std::string_view type) {
  TRY(op.CheckCounts(1, 1, 1));
  ASSIGN_OR_RETURN(const Image image, ReadImage(op));
  ASSIGN_OR_RETURN(const Window window, ReadWindow(op.args(), image.spatial()));
  TRY(CheckPooling(window));
  const std::string prefix = window.is_global ? "Global" : "";
  onnx::NodeProto node = MakeNode(prefix + std::string(type), {image.blob.value});
  if (!window.is_global) SetWindow(node, window);
  ASSIGN_OR_RETURN(const bool counts_padding, op.args().Flag("count_include_pad"));
  if (!window.is_global && type == "AveragePool" && counts_padding)
    SetInt(node, "count_include_pad", 1);
  GiveImage(op, image, std::move(node), WindowDims(image, window, image.channels()));
  return OkStatus();
}

}  // namespace

Status TranslateConv(Operation& op) {
  TRY(op.CheckCounts(2, 3, 1));
  ASSIGN_OR_RETURN(Image image, ReadImage(op));
  ASSIGN_OR_RETURN(Blob filter, op.Input(1));
  ASSIGN_OR_RETURN(const Window window, ReadWindow(op.args(), image.spatial()));
  if (window.is_global) return InvalidArgument("a Conv has no global_pooling");
  ASSIGN_OR_RETURN(const int64_t group, op.args().Int("group", 1));
  if (filter.dims.size() != image.blob.dims.size())
    return InvalidArgument("the filter '{}' has the shape {}, and the image {}", op.input_name(1),
                           DimsText(filter.dims), DimsText(image.blob.dims));
  if (image.is_nhwc) TurnToNchw(op, filter);
  TRY(CheckFilter(image, filter, window, group));
  onnx::NodeProto node = MakeNode("Conv", {image.blob.value, filter.value});
  if (op.input_count() > 2) {
    ASSIGN_OR_RETURN(const Blob bias, op.Input(2));
    TRY(CheckVector(op, 2, bias, filter.dims[0]));
    node.add_input(bias.value);
  }
  SetWindow(node, window);
  SetInt(node, "group", group);
  GiveImage(op, image, std::move(node), WindowDims(image, window, filter.dims[0]));
  return OkStatus();
}

Status TranslateMaxPool(Operation& op) { return TranslatePool(op, "MaxPool"); }
Status TranslateAveragePool(Operation& op) { return TranslatePool(op, "AveragePool"); }

Status TranslateLrn(Operation& op) {
  TRY(op.CheckCounts(1, 1, 2));
  ASSIGN_OR_RETURN(const Image image, ReadImage(op));
  ASSIGN_OR_RETURN(const int64_t size, op.args().Int("size", 0));
  ASSIGN_OR_RETURN(const float alpha, op.args().Float("alpha", 0));
  ASSIGN_OR_RETURN(const float beta, op.args().Float("beta", 0));
  ASSIGN_OR_RETURN(const float bias, op.args().Float("bias", 1));
  if (size < 1 || size % 2 == 0)
    return InvalidArgument("size is {}; right would be an odd number of channels", size);
  onnx::NodeProto node = MakeNode("LRN", {image.blob.value});
  SetInt(node, "size", size);
  SetFloat(node, "alpha", alpha);
  SetFloat(node, "beta", beta);
  SetFloat(node, "bias", bias);
  GiveImage(op, image, std::move(node), image.blob.dims);
  op.Withhold(1, "the scale of an LRN, which ONNX does not compute");
  return OkStatus();
}

Status TranslateSpatialBn(Operation& op) {
  constexpr size_t kInputs = 5;  // image, scale, bias, mean, variance
  ASSIGN_OR_RETURN(const bool is_test, op.args().Flag("is_test"));
  if (!is_test)
    return InvalidArgument(
        "it is in training mode, where answers depend on the other rows; set is_test to 1");
  TRY(op.CheckCounts(kInputs, kInputs, 1));
  ASSIGN_OR_RETURN(const Image image, ReadImage(op));
  ASSIGN_OR_RETURN(const float epsilon, op.args().Float("epsilon", 1e-5F));
  onnx::NodeProto node = MakeNode("BatchNormalization", {image.blob.value});
  for (size_t index = 1; index < kInputs; ++index) {
    ASSIGN_OR_RETURN(const Blob blob, op.Input(index));
    TRY(CheckVector(op, index, blob, image.channels()));
    node.add_input(blob.value);
  }
  SetFloat(node, "epsilon", epsilon);
  GiveImage(op, image, std::move(node), image.blob.dims);
  return OkStatus();
}

Status TranslateChannelShuffle(Operation& op) {
  TRY(op.CheckCounts(1, 1, 1));
  ASSIGN_OR_RETURN(const Image image, ReadImage(op));
  ASSIGN_OR_RETURN(const int64_t group, op.args().Int("group", 1));
  if (group < 1 || image.channels() % group != 0)
    return InvalidArgument("the image has {} channels, which are no {} equal groups",
                           image.channels(), group);
  const std::optional<int64_t> pixels = Product(image.spatial());
  if (!pixels) return InvalidArgument("the image is too large");
  // [rows, groups, channels of one, pixels] -> [rows, channels of one, groups, pixels]
  const std::vector<int64_t> apart = {0, group, image.channels() / group, *pixels};
  const std::string in_groups =
      op.Step(MakeNode("Reshape", {image.blob.value, op.Integers(apart)}));
  const std::string shuffled = op.Step(TransposeNode(in_groups, {0, 2, 1, 3}));
  std::vector<int64_t> together = image.blob.dims;
  together[0] = 0;
  GiveImage(op, image, MakeNode("Reshape", {shuffled, op.Integers(together)}), image.blob.dims);
  return OkStatus();
}

}  // namespace penstock::convert
