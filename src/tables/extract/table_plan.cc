// SPDX-License-Identifier: Apache-2.0
#include "tables/extract/table_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tables/index_file.h"
#include "tables/manifest.h"

namespace penstock::tables {
namespace {

// From this version on, an initialiser that is an input, too, is the default of that input.
constexpr uint64_t kIrWithDefaults = 4;

std::string Described(const OnnxNode& node) {
  return node.name.empty() ? fmt::format("a node {}", node.operation)
                           : fmt::format("the node '{}' ({})", node.name, node.operation);
}

// Finds out what uses each tensor. Immutable.
class Uses final {
 public:
  explicit Uses(const OnnxGraph& graph) : graph_(graph) {
    for (const OnnxNode& node : graph.nodes) {
      for (const std::string_view input : node.inputs) users_[input].push_back(&node);
      for (const std::string_view output : node.outputs) makers_[output] = &node;
    }
    for (const OnnxInput& input : graph.inputs) inputs_[input.name] = &input;
    for (const OnnxTensor& tensor : graph.initializers) initializers_[tensor.name] = &tensor;
  }

  // Once for each input of a node that it is.
  const std::vector<const OnnxNode*>& Of(std::string_view tensor) const {
    static const std::vector<const OnnxNode*> none;
    const auto found = users_.find(tensor);
    return found == users_.end() ? none : found->second;
  }
  // The input of the graph whose numbers these are, after casts that keep them; else null.
  const OnnxInput* Origin(std::string_view indices) const {
    for (size_t steps = 0; steps <= graph_.nodes.size(); ++steps) {
      const auto input = inputs_.find(indices);
      if (input != inputs_.end()) return input->second;
      const auto maker = makers_.find(indices);
      if (maker == makers_.end() || maker->second->inputs.empty()) return nullptr;
      const OnnxNode& node = *maker->second;
      const bool keeps = node.Is("Identity") ||
                         (node.Is("Cast") && (node.to == kOnnxInt32 || node.to == kOnnxInt64));
      if (!keeps) return nullptr;
      indices = node.inputs[0];
    }
    return nullptr;
  }
  bool IsInitializer(std::string_view name) const { return initializers_.contains(name); }
  bool IsInput(std::string_view name) const { return inputs_.contains(name); }
  bool IsOutput(std::string_view name) const {
    return std::ranges::find(graph_.outputs, name) != graph_.outputs.end();
  }

 private:
  const OnnxGraph& graph_;
  std::map<std::string_view, std::vector<const OnnxNode*>> users_;
  std::map<std::string_view, const OnnxNode*> makers_;
  std::map<std::string_view, const OnnxInput*> inputs_;
  std::map<std::string_view, const OnnxTensor*> initializers_;
};

// Returns why the tensor itself cannot be a table; empty: it can.
std::string WhyNoTable(const OnnxTensor& tensor, uint64_t bytes) {
  if (tensor.dims.size() != 2)
    return fmt::format("it has {} dimensions; tables have 2", tensor.dims.size());
  const auto rows = static_cast<uint64_t>(tensor.dims[0]);
  const auto dimension = static_cast<uint64_t>(tensor.dims[1]);
  if (rows == 0 || dimension == 0 || rows > kRowsMax || dimension > kDimensionMax)
    return fmt::format("its shape is {} x {}; tables have at most {} x {}", rows, dimension,
                       kRowsMax, kDimensionMax);
  if (!tensor.external && tensor.data.size() != bytes)
    return "its elements are not in the file as they are in memory";
  return {};
}

// Returns why the node is no look-up of requests; empty: it is, and `gather` is set.
std::string WhyNoLookup(const OnnxGraph& graph, const Uses& uses, const OnnxNode& node,
                        std::string_view table, PlannedGather& gather) {
  const bool is_gather = node.Is("Gather") && node.inputs.size() == 2 && node.outputs.size() == 1 &&
                         node.inputs[0] == table && node.inputs[1] != table;
  if (!is_gather) return fmt::format("{} uses it, too", Described(node));
  if (node.axis != 0 && node.axis != -2)
    return fmt::format("{} takes columns of it (axis {})", Described(node), node.axis);
  const OnnxInput* const input = uses.Origin(node.inputs[1]);
  if (input == nullptr || !IsRequestInput(graph, *input))
    return fmt::format("the indices of {} are no input of the model", Described(node));
  if (uses.IsInitializer(input->name))
    return fmt::format("the input '{}', which has its indices, may be left out of a request",
                       input->name);
  if (input->type != kOnnxInt32 && input->type != kOnnxInt64)
    return fmt::format("the input '{}', which has its indices, is neither int32 nor int64",
                       input->name);
  gather = {.node = &node, .indices = input};
  return {};
}

std::string WhyItStays(const OnnxGraph& graph, const Uses& uses, PlannedTable& table) {
  const std::string_view name = table.tensor->name;
  if (uses.IsOutput(name)) return "it is an output of the model";
  if (graph.inner_names.contains(name)) return "the body of a loop or of a branch uses it";
  if (uses.IsInput(name) && graph.ir_version >= kIrWithDefaults)
    return "it is an input that requests may replace";
  if (uses.Of(name).empty()) return "no node uses it";
  for (const OnnxNode* const node : uses.Of(name)) {
    if (std::string why = WhyNoLookup(graph, uses, *node, name, table.gathers.emplace_back());
        !why.empty())
      return why;
    if (table.gathers.back().indices->type != table.gathers.front().indices->type)
      return "it is looked up with indices of two types";
  }
  return WhyNoTable(*table.tensor, table.bytes);
}

}  // namespace

bool IsRequestInput(const OnnxGraph& graph, const OnnxInput& input) {
  return graph.ir_version >= kIrWithDefaults ||
         std::ranges::find(graph.initializers, input.name, &OnnxTensor::name) ==
             graph.initializers.end();
}

TablePlan PlanTables(const OnnxGraph& graph, uint64_t bytes_min) {
  TablePlan plan;
  const Uses uses(graph);
  for (const OnnxTensor& tensor : graph.initializers) {
    const std::optional<uint64_t> bytes = tensor.Bytes();
    if (!bytes) {
      // Texts, and types of less than a byte, say no size.
      if (tensor.type == kOnnxString)
        plan.kept.push_back({.tensor = &tensor, .bytes = 0, .reason = "its elements are texts"});
      continue;
    }
    if (*bytes < bytes_min) {
      plan.largest_small = std::max(plan.largest_small, *bytes);
      continue;
    }
    PlannedTable table = {.tensor = &tensor, .bytes = *bytes, .gathers = {}};
    std::string reason = WhyItStays(graph, uses, table);
    if (reason.empty()) {
      plan.tables.push_back(std::move(table));
    } else {
      plan.kept.push_back({.tensor = &tensor, .bytes = *bytes, .reason = std::move(reason)});
    }
  }
  return plan;
}

}  // namespace penstock::tables
