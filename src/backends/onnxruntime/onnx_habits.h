// SPDX-License-Identifier: Apache-2.0
// Attributes that exporters of the years of ONNX 1.2 to 1.5 wrote, although the operators of those
// versions no longer have them, or have another meaning for them. The runtime refuses them.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "onnx_file.h"
#include "proto_file.h"

namespace penstock::onnxruntime {

// The first version whose operators the runtime has (ONNX 1.2). Before it, operators really have
// these attributes.
inline constexpr uint64_t kOpsetMin = 7;

// What decides about the attributes of a node.
struct NodeHabits {
  std::string operation;
  std::string domain;
  std::string scale;  // the second input, which is the scale of a BatchNormalization
};

NodeHabits ReadHabits(Fields node);

// True if the runtime must not get the attribute. `is_vector` says of the name of an initialiser
// whether it has one dimension.
// - "consumed_inputs" was a hint for memory.
// - "is_test" of Dropout and BatchNormalization: the runtime never trains.
// - "spatial" of BatchNormalization: MXNet wrote 0, which means statistics for each pixel, with
//   statistics for each channel; 1 means what versions without the attribute do.
bool IsOldHabit(const NodeHabits& node, Fields attribute,
                const std::function<bool(const std::string&)>& is_vector);

}  // namespace penstock::onnxruntime
