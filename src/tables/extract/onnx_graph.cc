// SPDX-License-Identifier: Apache-2.0
#include "tables/extract/onnx_graph.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace penstock::tables {
namespace {

constexpr int kDepthMax = 32;  // of loops in loops

constexpr std::array kTypes = {
    TableType{kOnnxFloat, "float32", 4},
    TableType{2, "uint8", 1},
    TableType{3, "int8", 1},
    TableType{4, "uint16", 2},
    TableType{5, "int16", 2},
    TableType{kOnnxInt32, "int32", 4},
    TableType{kOnnxInt64, "int64", 8},
    TableType{9, "bool", 1},
    TableType{10, "float16", 2},
    TableType{kOnnxDouble, "float64", 8},
    TableType{12, "uint32", 4},
    TableType{13, "uint64", 8},
    TableType{16, "bfloat16", 2},
};

bool ReadDims(const OnnxField& field, std::vector<int64_t>& dims) {
  if (!field.has_length) {
    dims.push_back(static_cast<int64_t>(field.value));
    return true;
  }
  tfs::WireError error;
  tfs::WireReader packed(field.bytes, error);
  while (!packed.AtEnd()) {
    uint64_t value = 0;
    if (!packed.ReadVarint(value)) return false;
    dims.push_back(static_cast<int64_t>(value));
  }
  return true;
}

bool ToNumber(std::string_view text, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

bool ReadEntry(std::string_view message, ExternalPlace& place) {
  std::string_view key, value;
  const bool ok = VisitFields(message, [&](const OnnxField& field) {
    if (field.number == kEntryKey) key = field.bytes;
    if (field.number == kEntryValue) value = field.bytes;
    return true;
  });
  if (!ok) return false;
  if (key == "location") place.location = value;
  if (key == "offset") return ToNumber(value, place.offset);
  if (key == "length") return ToNumber(value, place.length.emplace());
  return true;
}

bool ReadAttribute(std::string_view message, OnnxNode& node,
                   std::vector<std::string_view>& graphs) {
  std::string_view name;
  int64_t value = 0;
  const bool ok = VisitFields(message, [&](const OnnxField& field) {
    if (field.number == kAttributeName) name = field.bytes;
    if (field.number == kAttributeInt) value = static_cast<int64_t>(field.value);
    if (field.has_length && (field.number == kAttributeGraph || field.number == kAttributeGraphs))
      graphs.push_back(field.bytes);
    return true;
  });
  if (name == "axis") node.axis = value;
  if (name == "to") node.to = value;
  return ok;
}

// `graphs`: the bodies of the node.
bool ReadNode(std::string_view message, OnnxNode& node, std::vector<std::string_view>& graphs) {
  node.message = message;
  return VisitFields(message, [&](const OnnxField& field) {
    if (field.number == kNodeInput) node.inputs.push_back(field.bytes);
    if (field.number == kNodeOutput) node.outputs.push_back(field.bytes);
    if (field.number == kNodeName) node.name = field.bytes;
    if (field.number == kNodeOperator) node.operation = field.bytes;
    if (field.number == kNodeDomain) node.domain = field.bytes;
    return field.number != kNodeAttribute || ReadAttribute(field.bytes, node, graphs);
  });
}

bool ReadValueName(std::string_view message, std::string_view& name) {
  return VisitFields(message, [&](const OnnxField& field) {
    if (field.number == kValueName) name = field.bytes;
    return true;
  });
}

// Adds the names that a body takes from outside, and its own.
bool ReadInnerGraph(std::string_view graph, int depth, std::set<std::string_view>& names) {
  if (depth > kDepthMax) return false;
  return VisitFields(graph, [&](const OnnxField& field) {
    if (field.number == kGraphOutput) {
      std::string_view name;
      if (!ReadValueName(field.bytes, name)) return false;
      names.insert(name);
    }
    if (field.number != kGraphNode) return true;
    OnnxNode node;
    std::vector<std::string_view> graphs;
    if (!ReadNode(field.bytes, node, graphs)) return false;
    names.insert(node.inputs.begin(), node.inputs.end());
    return std::ranges::all_of(
        graphs, [&](std::string_view inner) { return ReadInnerGraph(inner, depth + 1, names); });
  });
}

bool ReadTensorType(std::string_view message, OnnxInput& input) {
  return VisitFields(message, [&](const OnnxField& field) {
    if (field.number == kTensorTypeElement) input.type = static_cast<int>(field.value);
    if (field.number != kTensorTypeShape) return true;
    input.has_shape = true;
    return VisitFields(field.bytes, [&](const OnnxField& dim) {
      if (dim.number == kShapeDim) input.dims.push_back(dim.whole);
      return true;
    });
  });
}

bool ReadInput(std::string_view message, OnnxInput& input) {
  return VisitFields(message, [&](const OnnxField& field) {
    if (field.number == kValueName) input.name = field.bytes;
    if (field.number != kValueType) return true;
    return VisitFields(field.bytes, [&](const OnnxField& type) {
      return type.number != kTypeTensor || ReadTensorType(type.bytes, input);
    });
  });
}

bool ReadGraphField(const OnnxField& field, OnnxGraph& graph) {
  switch (field.number) {
    case kGraphNode: {
      std::vector<std::string_view> bodies;
      return ReadNode(field.bytes, graph.nodes.emplace_back(), bodies) &&
             std::ranges::all_of(bodies, [&](std::string_view body) {
               return ReadInnerGraph(body, 0, graph.inner_names);
             });
    }
    case kGraphInitializer:
      return ReadOnnxTensor(field.bytes, graph.initializers.emplace_back());
    case kGraphInput:
      return ReadInput(field.bytes, graph.inputs.emplace_back());
    case kGraphOutput:
      return ReadValueName(field.bytes, graph.outputs.emplace_back());
    default:
      return true;
  }
}

}  // namespace

const TableType* FindTableType(int onnx) {
  const auto* const found = std::ranges::find(kTypes, onnx, &TableType::onnx);
  return found == kTypes.end() ? nullptr : found;
}

std::optional<uint64_t> OnnxTensor::Bytes() const {
  const TableType* const known = FindTableType(type);
  if (known == nullptr) return std::nullopt;
  uint64_t bytes = known->bytes;
  for (const int64_t dim : dims) {
    if (dim < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(dim), &bytes))
      return std::nullopt;
  }
  return bytes;
}

bool ReadOnnxTensor(std::string_view message, OnnxTensor& tensor) {
  ExternalPlace place;
  bool is_external = false;
  const bool ok = VisitFields(message, [&](const OnnxField& field) {
    switch (field.number) {
      case kTensorDims:
        return ReadDims(field, tensor.dims);
      case kTensorType:
        tensor.type = static_cast<int>(field.value);
        return true;
      case kTensorName:
        tensor.name = field.bytes;
        return true;
      case kTensorRaw:
      case kTensorFloats:
      case kTensorDoubles:
        // Packed numbers of a fixed size are as in memory.
        tensor.data = field.bytes;
        return true;
      case kTensorExternal:
        return ReadEntry(field.bytes, place);
      case kTensorLocation:
        is_external = field.value == 1;
        return true;
      default:
        return true;
    }
  });
  if (is_external) tensor.external = std::move(place);
  return ok;
}

StatusOr<OnnxGraph> ReadOnnxGraph(std::string_view model) {
  OnnxGraph graph;
  int graphs = 0;
  const bool ok = VisitFields(model, [&](const OnnxField& field) {
    if (field.number == kModelIrVersion) graph.ir_version = field.value;
    if (field.number != kModelGraph) return true;
    ++graphs;
    return VisitFields(field.bytes,
                       [&](const OnnxField& part) { return ReadGraphField(part, graph); });
  });
  if (!ok) return InvalidArgument("it is no ONNX model, or a part of one: a field is malformed");
  if (graphs != 1 || graph.outputs.empty())
    return InvalidArgument("it is no ONNX model: it has no graph with outputs");
  return graph;
}

}  // namespace penstock::tables
