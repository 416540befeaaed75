// SPDX-License-Identifier: Apache-2.0
#include "onnx_habits.h"

namespace penstock::onnxruntime {

NodeHabits ReadHabits(Fields node) {
  NodeHabits habits;
  int inputs = 0;
  while (node.Next()) {
    if (!node.HasLength()) continue;
    if (node.number() == kNodeOperator) habits.operation = node.Text();
    if (node.number() == kNodeDomain) habits.domain = node.Text();
    if (node.number() == kNodeInput && ++inputs == 2) habits.scale = node.Text();
  }
  return habits;
}

bool IsOldHabit(const NodeHabits& node, Fields attribute,
                const std::function<bool(const std::string&)>& is_vector) {
  if (!node.domain.empty() && node.domain != "ai.onnx") return false;
  std::string name;
  uint64_t value = 0;
  while (attribute.Next()) {
    if (attribute.number() == kAttributeName && attribute.HasLength()) name = attribute.Text();
    if (attribute.number() == kAttributeInt && !attribute.HasLength()) value = attribute.value();
  }
  const bool is_normalization = node.operation == "BatchNormalization";
  if (name == "consumed_inputs") return true;
  if (name == "is_test") return is_normalization || node.operation == "Dropout";
  if (name == "spatial" && is_normalization) return value == 1 || is_vector(node.scale);
  return false;
}

}  // namespace penstock::onnxruntime
