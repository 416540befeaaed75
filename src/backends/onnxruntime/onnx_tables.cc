// SPDX-License-Identifier: Apache-2.0
#include "onnx_tables.h"

#include <utility>
#include <vector>

#include "onnx_file.h"

namespace penstock::onnxruntime {
namespace {

constexpr int kDepthMax = 100;  // of graphs in nodes

std::string NameOf(Fields value) {
  while (value.Next()) {
    if (value.number() == kValueName && value.HasLength()) return value.Text();
  }
  return {};
}

// Collects what nodes do with names. `is_whole` becomes false if graphs are nested too deep to be
// read. One thread at a time.
struct Uses {
  Names gathered;
  Names others;
  bool is_whole = true;

  // `depth`: 0 for the nodes of the graph itself.
  void AddNode(Fields node, int depth);
  void AddInnerGraph(Fields graph, int depth);
};

void Uses::AddInnerGraph(Fields graph, int depth) {
  if (depth > kDepthMax) is_whole = false;
  while (is_whole && graph.Next()) {
    if (!graph.HasLength()) continue;
    if (graph.number() == kGraphNode) AddNode(graph.Inside(), depth);
    // An inner graph may return a name of the outer one.
    if (graph.number() == kGraphOutput) others.insert(NameOf(graph.Inside()));
  }
}

void Uses::AddNode(Fields node, int depth) {
  std::vector<std::string> inputs;
  std::string operation;
  std::string domain;
  while (node.Next()) {
    if (!node.HasLength()) continue;
    if (node.number() == kNodeInput) inputs.push_back(node.Text());
    if (node.number() == kNodeOperator) operation = node.Text();
    if (node.number() == kNodeDomain) domain = node.Text();
    if (node.number() != kNodeAttribute) continue;
    for (Fields attribute = node.Inside(); attribute.Next();) {
      const uint32_t number = attribute.number();
      const bool is_graph = number == kAttributeGraph || number == kAttributeGraphs;
      if (is_graph && attribute.HasLength()) AddInnerGraph(attribute.Inside(), depth + 1);
    }
  }
  const bool is_gather =
      depth == 0 && operation == "Gather" && (domain.empty() || domain == "ai.onnx");
  for (size_t i = 0; i < inputs.size(); ++i) {
    (is_gather && i == 0 ? gathered : others).insert(std::move(inputs[i]));
  }
}

}  // namespace

Names FindGatheredNames(Fields graph) {
  Uses uses;
  while (graph.Next()) {
    if (!graph.HasLength()) continue;
    const uint32_t number = graph.number();
    if (number == kGraphNode) uses.AddNode(graph.Inside(), 0);
    if (number == kGraphInput || number == kGraphOutput) uses.others.insert(NameOf(graph.Inside()));
  }
  if (!uses.is_whole) return {};
  for (const std::string& name : uses.others) uses.gathered.erase(name);
  return std::move(uses.gathered);
}

}  // namespace penstock::onnxruntime
