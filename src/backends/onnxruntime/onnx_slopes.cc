// SPDX-License-Identifier: Apache-2.0
// The file does not say how many dimensions a tensor between two nodes has. The weights of a
// convolution do: they are [channels, ...] with the rank of the images.
#include "onnx_slopes.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "onnx_file.h"

namespace penstock::onnxruntime {
namespace {

constexpr int kAttributeTypeInts = 7;  // of AttributeProto.type
constexpr uint32_t kAttributeType = 20;
constexpr int kStepsMax = 100;  // from a PRelu back to its convolution

// Operators whose output has the channels and the rank of their first input.
constexpr std::array<std::string_view, 12> kKeepChannels = {"BatchNormalization",
                                                            "InstanceNormalization",
                                                            "Dropout",
                                                            "Identity",
                                                            "MaxPool",
                                                            "AveragePool",
                                                            "Relu",
                                                            "LeakyRelu",
                                                            "PRelu",
                                                            "Add",
                                                            "Sum",
                                                            "Clip"};

// What is needed of a node. Plain data.
struct SlopeNode {
  std::string operation;
  std::vector<std::string> inputs;  // the first two
};

using SlopeNodes = std::map<std::string, SlopeNode>;  // by the first output

std::pair<std::string, SlopeNode> ReadSlopeNode(Fields node) {
  std::pair<std::string, SlopeNode> result;
  std::string domain;
  while (node.Next()) {
    if (!node.HasLength()) continue;
    if (node.number() == kNodeOperator) result.second.operation = node.Text();
    if (node.number() == kNodeDomain) domain = node.Text();
    if (node.number() == kNodeOutput && result.first.empty()) result.first = node.Text();
    if (node.number() == kNodeInput && result.second.inputs.size() < 2)
      result.second.inputs.push_back(node.Text());
  }
  if (!domain.empty() && domain != "ai.onnx") result.second = {};
  return result;
}

// Most models have none, and then there is nothing to remember.
bool HasPrelu(Fields graph) {
  while (graph.Next()) {
    if (graph.number() != kGraphNode || !graph.HasLength()) continue;
    for (Fields node = graph.Inside(); node.Next();)
      if (node.number() == kNodeOperator && node.HasLength() && node.Text() == "PRelu") return true;
  }
  return false;
}

std::vector<int64_t> DimsOf(const std::string& name,
                            const std::map<std::string, Fields>& initializers) {
  std::vector<int64_t> dims;
  const auto found = initializers.find(name);
  if (found == initializers.end()) return dims;
  for (Fields tensor = found->second; tensor.Next();)
    if (tensor.number() == kTensorDims) ReadDims(tensor, dims);
  return dims;
}

// The sizes of the weights of the convolution that `tensor` comes from; empty if there is none.
std::vector<int64_t> WeightsBefore(std::string tensor, const SlopeNodes& nodes,
                                   const std::map<std::string, Fields>& initializers) {
  for (int step = 0; step < kStepsMax; ++step) {
    const auto found = nodes.find(tensor);
    if (found == nodes.end() || found->second.inputs.empty()) return {};
    const SlopeNode& node = found->second;
    if (node.operation == "Conv" && node.inputs.size() == 2)
      return DimsOf(node.inputs[1], initializers);
    if (std::ranges::find(kKeepChannels, node.operation) == kKeepChannels.end()) return {};
    tensor = node.inputs[0];
  }
  return {};
}

}  // namespace

std::map<std::string, ChannelSlope> FindChannelSlopes(
    Fields graph, const std::map<std::string, Fields>& initializers) {
  SlopeNodes nodes;
  std::vector<std::string> prelus;
  if (!HasPrelu(graph)) return {};
  while (graph.Next()) {
    if (graph.number() != kGraphNode || !graph.HasLength()) continue;
    auto [output, node] = ReadSlopeNode(graph.Inside());
    if (node.operation == "PRelu" && node.inputs.size() == 2) prelus.push_back(output);
    nodes[std::move(output)] = std::move(node);
  }
  std::map<std::string, ChannelSlope> slopes;
  for (const std::string& output : prelus) {
    const SlopeNode& prelu = nodes[output];
    const std::vector<int64_t> slope = DimsOf(prelu.inputs[1], initializers);
    if (slope.size() != 1 || slope[0] == 1) continue;
    const std::vector<int64_t> weights = WeightsBefore(prelu.inputs[0], nodes, initializers);
    if (weights.size() < 3 || weights[0] != slope[0]) continue;
    slopes[output] = {prelu.inputs[1], static_cast<int>(weights.size()) - 2};
  }
  return slopes;
}

std::string SlopeName(const std::string& output) { return "penstock_slope_of_" + output; }

std::string UnsqueezeNode(const ChannelSlope& slope, const std::string& output) {
  std::string axes;
  AppendBytes(axes, kAttributeName, "axes");
  for (int axis = 1; axis <= slope.axes; ++axis)
    AppendNumber(axes, kAttributeInts, static_cast<uint64_t>(axis));
  AppendNumber(axes, kAttributeType, kAttributeTypeInts);
  std::string node;
  AppendBytes(node, kNodeInput, slope.name);
  AppendBytes(node, kNodeOutput, SlopeName(output));
  AppendBytes(node, kNodeOperator, "Unsqueeze");
  AppendBytes(node, kNodeAttribute, axes);
  return node;
}

}  // namespace penstock::onnxruntime
