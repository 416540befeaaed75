// SPDX-License-Identifier: Apache-2.0
#include "convert/caffe2/window.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace penstock::convert {
namespace {

using Numbers = std::vector<int64_t>;

// The values of "legacy_pad".
enum class LegacyPad : int64_t { kNotSet = 0, kValid = 1, kSame = 2, kCaffePooling = 3 };

// Reads a setting that has four forms: `plural` (a list), `singular` (both axes), or one argument
// for each of two axes. As in Caffe2, the last form counts only if both are there.
StatusOr<Numbers> ReadAxes(const Arguments& args, std::string_view plural,
                           std::string_view singular) {
  ASSIGN_OR_RETURN(Numbers numbers, args.Ints(plural));
  if (args.Has(singular)) {
    ASSIGN_OR_RETURN(const int64_t number, args.Int(singular, 0));
    numbers.resize(2, number);
    return numbers;
  }
  const std::string height = fmt::format("{}_h", singular);
  const std::string width = fmt::format("{}_w", singular);
  if (!args.Has(height) || !args.Has(width)) return numbers;
  for (const std::string& name : {height, width}) {
    ASSIGN_OR_RETURN(const int64_t number, args.Int(name, 0));
    numbers.push_back(number);
  }
  return numbers;
}

// As ReadAxes, with numbers for the heads and then for the tails.
StatusOr<Numbers> ReadPads(const Arguments& args) {
  constexpr std::array<std::string_view, 4> kSides = {"pad_t", "pad_l", "pad_b", "pad_r"};
  ASSIGN_OR_RETURN(Numbers pads, args.Ints("pads"));
  if (args.Has("pad")) {
    ASSIGN_OR_RETURN(const int64_t pad, args.Int("pad", 0));
    pads.resize(kSides.size(), pad);
    return pads;
  }
  const bool has_all =
      std::all_of(kSides.begin(), kSides.end(), [&](auto side) { return args.Has(side); });
  for (size_t side = 0; has_all && side < kSides.size(); ++side) {
    ASSIGN_OR_RETURN(const int64_t pad, args.Int(kSides[side], 0));
    pads.push_back(pad);
  }
  return pads;
}

Status CheckNumbers(const Numbers& numbers, std::string_view what, size_t count, int64_t min) {
  if (numbers.size() != count)
    return InvalidArgument("it has {} {}s; right would be {}", numbers.size(), what, count);
  for (const int64_t number : numbers) {
    if (number < min)
      return InvalidArgument("a {} is {}; right would be {} or more", what, number, min);
  }
  return OkStatus();
}

// Sets the padding and the number of positions along one axis.
Status Place(Window& window, size_t axis, int64_t in, LegacyPad legacy) {
  const int64_t kernel = window.kernel[axis];
  const int64_t stride = window.stride[axis];
  const int64_t extent = window.dilation[axis] * (kernel - 1) + 1;
  int64_t& head = window.pad_head[axis];
  int64_t& tail = window.pad_tail[axis];
  int64_t out = 0;
  if (legacy == LegacyPad::kSame) {
    // As TensorFlow's SAME: the padding depends on the size, and the tail gets the odd one.
    if (window.dilation[axis] != 1)
      return InvalidArgument("legacy_pad SAME (2) goes without dilation");
    out = (in + stride - 1) / stride;
    const int64_t needed = (out - 1) * stride + kernel - in;
    // Caffe2 rounds towards zero, so -1 is no padding at all.
    head = needed / 2;
    if (head < 0) {
      return InvalidArgument(
          "legacy_pad SAME (2) needs a negative padding: the stride {} is larger than the kernel "
          "{}, and {} rows or columns of the input would be left out at the start",
          stride, kernel, -head);
    }
    tail = std::max<int64_t>(needed - head, 0);
  } else if (legacy == LegacyPad::kCaffePooling) {
    // As in Caffe: the size is rounded up, where Caffe2 rounds down, but a window starts within
    // the input or in the padding before it. Only the padding before the input is given.
    if (in + 2 * head < kernel)
      return InvalidArgument("the kernel {} is larger than the padded input {}", kernel,
                             in + 2 * head);
    out = (in + 2 * head - kernel + stride - 1) / stride + 1;
    if (head > 0 && (out - 1) * stride >= in + head) --out;
    tail = std::max<int64_t>((out - 1) * stride + kernel - in - head, 0);
  } else {
    if (in + head + tail < extent)
      return InvalidArgument("the kernel {} is larger than the padded input {}", extent,
                             in + head + tail);
    out = (in + head + tail - extent) / stride + 1;
  }
  if (out > INT32_MAX) return InvalidArgument("the output is too large");
  window.out.push_back(out);
  return OkStatus();
}

Status CheckGlobal(const Window& window) {
  const auto is = [](int64_t wanted) {
    return [wanted](int64_t number) { return number == wanted; };
  };
  const bool is_plain = std::all_of(window.pad_head.begin(), window.pad_head.end(), is(0)) &&
                        std::all_of(window.pad_tail.begin(), window.pad_tail.end(), is(0)) &&
                        std::all_of(window.stride.begin(), window.stride.end(), is(1)) &&
                        std::all_of(window.dilation.begin(), window.dilation.end(), is(1));
  if (is_plain) return OkStatus();
  return InvalidArgument("global_pooling goes without pads, strides and dilations");
}

// Reads the arguments as they are, with defaults for those that are not there.
StatusOr<Window> ReadNumbers(const Arguments& args, size_t rank, LegacyPad legacy) {
  Window window;
  ASSIGN_OR_RETURN(window.is_global, args.Flag("global_pooling"));
  ASSIGN_OR_RETURN(window.kernel, ReadAxes(args, "kernels", "kernel"));
  ASSIGN_OR_RETURN(window.stride, ReadAxes(args, "strides", "stride"));
  ASSIGN_OR_RETURN(window.dilation, ReadAxes(args, "dilations", "dilation"));
  ASSIGN_OR_RETURN(Numbers pads, ReadPads(args));
  if (window.is_global) window.kernel.assign(rank, 1);  // the caller sets it
  if (window.stride.empty()) window.stride.assign(rank, 1);
  if (window.dilation.empty()) window.dilation.assign(rank, 1);
  const bool is_computed = legacy == LegacyPad::kValid || legacy == LegacyPad::kSame;
  if (is_computed && !pads.empty())
    return InvalidArgument("legacy_pad {} goes without pads", static_cast<int64_t>(legacy));
  if (pads.empty()) pads.assign(2 * rank, 0);
  TRY(CheckNumbers(window.kernel, "kernel size", rank, 1));
  TRY(CheckNumbers(window.stride, "stride", rank, 1));
  TRY(CheckNumbers(window.dilation, "dilation", rank, 1));
  TRY(CheckNumbers(pads, "pad", 2 * rank, 0));
  window.pad_head.assign(pads.begin(), pads.begin() + static_cast<ptrdiff_t>(rank));
  window.pad_tail.assign(pads.begin() + static_cast<ptrdiff_t>(rank), pads.end());
  return window;
}

}  // namespace

StatusOr<Window> ReadWindow(const Arguments& args, std::span<const int64_t> spatial) {
  ASSIGN_OR_RETURN(const int64_t number, args.Int("legacy_pad", 0));
  if (number < 0 || number > static_cast<int64_t>(LegacyPad::kCaffePooling))
    return InvalidArgument("legacy_pad is {}, not a number from 0 to 3", number);
  const auto legacy = static_cast<LegacyPad>(number);
  ASSIGN_OR_RETURN(Window window, ReadNumbers(args, spatial.size(), legacy));
  if (window.is_global) {
    TRY(CheckGlobal(window));
    window.kernel.assign(spatial.begin(), spatial.end());
    window.out.assign(spatial.size(), 1);
    return window;
  }
  for (size_t axis = 0; axis < spatial.size(); ++axis)
    TRY(Place(window, axis, spatial[axis], legacy));
  return window;
}

Status CheckPooling(const Window& window) {
  for (size_t axis = 0; axis < window.kernel.size(); ++axis) {
    if (window.dilation[axis] != 1) return InvalidArgument("a pooling has no dilation");
    const int64_t kernel = window.kernel[axis];
    const int64_t pad = std::max(window.pad_head[axis], window.pad_tail[axis]);
    if (!window.is_global && pad >= kernel) {
      return InvalidArgument(
          "a window of the size {} lies in the padding of {} alone, and would have no value",
          kernel, pad);
    }
  }
  return OkStatus();
}

void SetWindow(onnx::NodeProto& node, const Window& window) {
  SetInts(node, "kernel_shape", window.kernel);
  SetInts(node, "strides", window.stride);
  Numbers pads = window.pad_head;
  pads.insert(pads.end(), window.pad_tail.begin(), window.pad_tail.end());
  SetInts(node, "pads", pads);
  if (std::any_of(window.dilation.begin(), window.dilation.end(), [](int64_t d) { return d != 1; }))
    SetInts(node, "dilations", window.dilation);
}

}  // namespace penstock::convert
