// SPDX-License-Identifier: Apache-2.0
// ONNX Runtime passes on names, types and shapes of a model, but not all that the file says. This
// reader collects the rest in one pass over the file, before the session is made: part of it
// decides whether the model must be rewritten first (onnx_rewrite).
//
// The file may be larger than memory and may be damaged, so it is read through Fields, which skips
// tensors without reading them. Whatever is malformed just ends the pass: the runtime judges
// whether the file is a model.
#include "onnx_file.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "onnx_habits.h"
#include "onnx_labels.h"
#include "onnx_node.h"
#include "onnx_tables.h"
#include "onnx_value.h"
#include "ort_file.h"

namespace penstock::onnxruntime {
namespace {

constexpr uint64_t kExternal = 1;          // of TensorProto.data_location
constexpr uint64_t kOptionalInputsIr = 4;  // from here on an initialiser is an input's default
constexpr int kDepthMax = 100;             // of graphs in nodes; bounds the recursion

// True if `type` (a TypeProto) is a tensor type whose shape has no dimensions. A type without any
// shape is something else: it leaves the rank open.
bool IsScalarType(Fields type) {
  while (type.Next()) {
    if (type.number() != kTypeTensor || !type.HasLength()) continue;
    for (Fields tensor = type.Inside(); tensor.Next();) {
      if (tensor.number() != kTensorTypeShape || !tensor.HasLength()) continue;
      for (Fields shape = tensor.Inside(); shape.Next();) {
        if (shape.number() == kShapeDim) return false;
      }
      return true;
    }
  }
  return false;
}

// The name of an input or output.
std::string ReadValue(Fields value, bool& is_scalar) {
  std::string name;
  while (value.Next()) {
    if (!value.HasLength()) continue;
    if (value.number() == kValueName) name = value.Text();
    if (value.number() == kValueType) is_scalar = IsScalarType(value.Inside());
  }
  return name;
}

std::string ReadTensorName(Fields tensor) {
  while (tensor.Next()) {
    if (tensor.number() == kTensorName && tensor.HasLength()) return tensor.Text();
  }
  return {};
}

uint64_t ToNumber(const std::string& text) {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end ? number : kNotANumber;
}

// Reads one entry of TensorProto.external_data. Unknown keys, such as a checksum, do not matter.
void ReadEntry(Fields entry, ExternalTensor& tensor) {
  std::string key;
  std::string value;
  while (entry.Next()) {
    if (entry.number() == kEntryKey && entry.HasLength()) key = entry.Text();
    if (entry.number() == kEntryValue && entry.HasLength()) value = entry.Text();
  }
  if (key == "location") tensor.location = value;
  if (key == "offset") tensor.offset = ToNumber(value);
  if (key == "length") tensor.length = ToNumber(value);
}

bool HasExternalInside(Fields node, int depth);

bool GraphHasExternal(Fields graph, int depth) {
  while (graph.Next()) {
    if (!graph.HasLength()) continue;
    if (graph.number() == kGraphInitializer && ReadExternal(graph.Inside())) return true;
    if (graph.number() == kGraphNode && HasExternalInside(graph.Inside(), depth)) return true;
  }
  return false;
}

// Whether an attribute of the node holds a tensor with external data, however deep.
bool HasExternalInside(Fields node, int depth) {
  if (depth > kDepthMax) return false;
  while (node.Next()) {
    if (node.number() != kNodeAttribute || !node.HasLength()) continue;
    for (Fields attribute = node.Inside(); attribute.Next();) {
      if (!attribute.HasLength()) continue;
      const uint32_t number = attribute.number();
      const bool is_tensor = number == kAttributeTensor || number == kAttributeTensors;
      if (is_tensor && ReadExternal(attribute.Inside())) return true;
      const bool is_graph = number == kAttributeGraph || number == kAttributeGraphs;
      if (is_graph && GraphHasExternal(attribute.Inside(), depth + 1)) return true;
    }
  }
  return false;
}

bool IsVector(Fields tensor) {
  std::vector<int64_t> dims;
  while (tensor.Next()) {
    if (tensor.number() == kTensorDims) ReadDims(tensor, dims);
  }
  return dims.size() == 1;
}

// Finds out whether attributes of the graph's nodes must be left out.
void FindOldHabits(Fields graph, const std::map<std::string, Fields>& initializers,
                   OnnxFile& file) {
  const auto is_vector = [&](const std::string& name) {
    const auto found = initializers.find(name);
    if (found == initializers.end() || !IsVector(found->second)) return false;
    file.vector_scales.insert(name);
    return true;
  };
  while (graph.Next()) {
    if (graph.number() != kGraphNode || !graph.HasLength()) continue;
    const NodeHabits habits = ReadHabits(graph.Inside());
    for (Fields node = graph.Inside(); node.Next();) {
      const bool is_attribute = node.number() == kNodeAttribute && node.HasLength();
      if (is_attribute && IsOldHabit(habits, node.Inside(), is_vector)) file.has_old_habits = true;
    }
  }
}

void ReadGraph(Fields graph, OnnxFile& file) {
  const Fields whole = graph;
  LabelReader labels;
  Names inputs;
  Names outputs;
  Names initializers;
  std::map<std::string, Fields> values;  // of the initialisers
  while (graph.Next()) {
    if (!graph.HasLength()) continue;
    const uint32_t number = graph.number();
    if (number == kGraphInput || number == kGraphOutput) {
      bool is_scalar = false;
      std::string name = ReadValue(graph.Inside(), is_scalar);
      if (is_scalar) file.scalars.insert(name);
      (number == kGraphInput ? inputs : outputs).insert(std::move(name));
    } else if (number == kGraphInitializer) {
      const std::string name = ReadTensorName(graph.Inside());
      initializers.insert(name);
      values.emplace(name, graph.Inside());
      if (auto tensor = ReadExternal(graph.Inside())) file.external.push_back(*std::move(tensor));
    } else if (number == kGraphNode) {
      if (!file.has_inner_external) file.has_inner_external = HasExternalInside(graph.Inside(), 0);
      file.flags |= FlagsOfNode(graph.Inside());
      labels.AddNode(graph.Inside());
    }
  }
  // Which initialisers are inputs is known only now, because the fields of a graph may come in any
  // order.
  std::set_intersection(inputs.begin(), inputs.end(), initializers.begin(), initializers.end(),
                        std::inserter(file.constant_inputs, file.constant_inputs.end()));
  for (const auto& [name, tensor] : values) {
    if (!inputs.contains(name)) continue;
    if (auto value = ReadSmallTensor(tensor)) file.defaults[name] = *std::move(value);
  }
  FindOldHabits(whole, values, file);
  if (!file.external.empty()) {
    const Names tables = FindGatheredNames(whole);
    for (ExternalTensor& tensor : file.external) tensor.is_table = tables.contains(tensor.name);
  }
  file.channel_slopes = FindChannelSlopes(whole, values);
  labels.Finish(whole, values, outputs, file);
}

void ReadOpset(Fields opset, OnnxFile& file) {
  std::string domain;
  uint64_t version = 0;
  while (opset.Next()) {
    if (opset.number() == kOpsetDomain && opset.HasLength()) domain = opset.Text();
    if (opset.number() == kOpsetVersion && !opset.HasLength()) version = opset.value();
  }
  if (!domain.empty() && domain != "ai.onnx") return;
  file.imports_onnx = true;
  file.opset = version;
}

}  // namespace

void ReadDims(Fields& tensor, std::vector<int64_t>& shape) {
  if (!tensor.HasLength()) {
    shape.push_back(static_cast<int64_t>(tensor.value()));
    return;
  }
  uint64_t size = 0;
  for (Fields packed = tensor.Inside(); packed.NextPacked(size);) {
    shape.push_back(static_cast<int64_t>(size));
  }
}

std::optional<ExternalTensor> ReadExternal(Fields tensor) {
  ExternalTensor result;
  bool is_external = false;
  while (tensor.Next()) {
    const uint32_t number = tensor.number();
    if (number == kTensorDims) {
      ReadDims(tensor, result.shape);
    } else if (number == kTensorType && !tensor.HasLength()) {
      result.type = static_cast<int>(tensor.value());
    } else if (number == kTensorLocation && !tensor.HasLength()) {
      is_external = tensor.value() == kExternal;
    } else if (number == kTensorName && tensor.HasLength()) {
      result.name = tensor.Text();
    } else if (number == kTensorExternal && tensor.HasLength()) {
      ReadEntry(tensor.Inside(), result);
    }
  }
  if (!is_external) return std::nullopt;
  return result;
}

OnnxFile ReadOnnxFile(const std::string& path, std::optional<std::string_view> memory) {
  OnnxFile result;
  result.path = path;
  result.memory = memory;
  if (path.ends_with(".ort")) {  // the runtime's own format
    ReadOrtFile(result);
    return result;
  }
  FileBytes file(path, memory);
  uint64_t ir_version = 0;
  for (Fields model(file, 0, file.size()); model.Next();) {
    const uint32_t number = model.number();
    if (number == kModelIrVersion && !model.HasLength()) ir_version = model.value();
    if (!model.HasLength()) continue;
    if (number == kModelProducer) result.is_cntk = model.Text() == "CNTK";
    if (number == kModelGraph) ReadGraph(model.Inside(), result);
    if (number == kModelOpset) ReadOpset(model.Inside(), result);
    // The functions of a model are not expanded in the file, so their nodes count as the graph's
    // own.
    if (number != kModelFunction) continue;
    for (Fields function = model.Inside(); function.Next();) {
      if (function.number() != kFunctionNode || !function.HasLength()) continue;
      result.flags |= FlagsOfNode(function.Inside());
      if (HasExternalInside(function.Inside(), 0)) result.has_inner_external = true;
    }
  }
  // From IR version 4 on, an input with an initialiser is an optional input. Before, all
  // initialisers had to be listed as inputs, and the runtime treats them as constants.
  if (ir_version >= kOptionalInputsIr) result.constant_inputs.clear();
  return result;
}

}  // namespace penstock::onnxruntime
