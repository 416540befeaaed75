// SPDX-License-Identifier: Apache-2.0
// The windows that convolutions and poolings move over their input.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "convert/caffe2/graph_builder.h"
#include "convert/caffe2/op_arguments.h"

namespace penstock::convert {

// One window, with one number for each spatial dimension. Immutable.
struct Window {
  bool is_global = false;  // the window covers the whole input
  std::vector<int64_t> kernel;
  std::vector<int64_t> stride;
  std::vector<int64_t> dilation;
  std::vector<int64_t> pad_head;
  std::vector<int64_t> pad_tail;
  std::vector<int64_t> out;  // the number of positions
};

// Reads the window of a Conv, MaxPool or AveragePool over an input of the sizes `spatial`. Caffe2's
// strategies for padding ("legacy_pad") are turned into numbers. INVALID_ARGUMENT if an argument
// makes no sense, or the window does not fit.
StatusOr<Window> ReadWindow(const Arguments& args, std::span<const int64_t> spatial);

// INVALID_ARGUMENT if `window` cannot be that of a pooling: it is dilated, or it may lie in the
// padding alone.
Status CheckPooling(const Window& window);

// Sets kernel_shape, strides and pads, and dilations if there are any.
void SetWindow(onnx::NodeProto& node, const Window& window);

}  // namespace penstock::convert
