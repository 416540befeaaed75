// SPDX-License-Identifier: Apache-2.0
#include "onnx_node.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "onnx_file.h"

namespace penstock::onnxruntime {
namespace {

constexpr int kDepthMax = 100;  // of graphs in nodes
constexpr uint32_t kThirdInput = 2;

constexpr std::string_view kRandom[] = {"RandomNormal",      "RandomNormalLike", "RandomUniform",
                                        "RandomUniformLike", "Multinomial",      "Bernoulli"};

uint32_t FlagsOfNodeAt(Fields node, int depth);

uint32_t FlagsOfGraph(Fields graph, int depth) {
  uint32_t flags = 0;
  while (graph.Next()) {
    const bool is_node = graph.number() == kGraphNode && graph.HasLength();
    if (is_node) flags |= FlagsOfNodeAt(graph.Inside(), depth);
  }
  return flags;
}

// Also notes whether the attribute is a seed.
uint32_t FlagsOfAttribute(Fields attribute, int depth, bool& is_seeded) {
  uint32_t flags = 0;
  while (attribute.Next()) {
    if (!attribute.HasLength()) continue;
    const uint32_t number = attribute.number();
    if (number == kAttributeName && attribute.Text() == "seed") is_seeded = true;
    const bool is_graph = number == kAttributeGraph || number == kAttributeGraphs;
    if (is_graph && depth < kDepthMax) flags |= FlagsOfGraph(attribute.Inside(), depth + 1);
  }
  return flags;
}

uint32_t FlagsOfNodeAt(Fields node, int depth) {
  uint32_t flags = 0;
  uint32_t inputs = 0;
  bool has_third_input = false;
  bool is_seeded = false;
  std::string operation;
  std::string domain;
  while (node.Next()) {
    if (!node.HasLength()) continue;
    const uint32_t number = node.number();
    if (number == kNodeOperator) operation = node.Text();
    if (number == kNodeDomain) domain = node.Text();
    if (number == kNodeInput && inputs++ == kThirdInput) has_third_input = node.size() > 0;
    if (number == kNodeAttribute) flags |= FlagsOfAttribute(node.Inside(), depth, is_seeded);
  }
  return flags | FlagsOfOperator(domain, operation, is_seeded, has_third_input);
}

}  // namespace

uint32_t FlagsOfOperator(std::string_view domain, std::string_view operation, bool is_seeded,
                         bool has_third_input) {
  if (!domain.empty() && domain != "ai.onnx") return 0;
  // Operators of other domains are not known, and count as plain ones.
  // The third input of Dropout makes it drop values, as in training.
  const bool is_random =
      std::find(std::begin(kRandom), std::end(kRandom), operation) != std::end(kRandom) ||
      (operation == "Dropout" && has_third_input);
  if (!is_random) return 0;
  // With a seed the generator gives the same numbers after each load, but other ones to each run:
  // the answer depends on the runs before.
  return is_seeded ? PENSTOCK_HAS_STATE : PENSTOCK_NOT_DETERMINISTIC;
}

uint32_t FlagsOfNode(Fields node) { return FlagsOfNodeAt(node, 0); }

}  // namespace penstock::onnxruntime
