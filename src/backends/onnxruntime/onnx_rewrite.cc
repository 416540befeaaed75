// SPDX-License-Identifier: Apache-2.0
// Copies a model field by field, and writes other bytes only where the model must change.
//
// Four things must change. Attributes that a node should not have make the runtime refuse the
// model, or misread it. So does a slope of a PRelu that counts channels (onnx_slopes). A ZipMap
// turns a matrix of probabilities into a sequence of maps, which no tensor can carry: an Identity
// in its place gives the matrix itself. External data inside of nodes would be mapped by the
// runtime, with the dangers that ExternalData names: its bytes are put into the model. Data of the
// graph's own initialisers needs no rewrite, because ExternalData hands it over.
//
// The copy works on protobuf's wire format, not on parsed messages. So fields that this code does
// not know stay byte for byte as they are. A length comes before its message, so each message is
// built in memory before it is appended to the outer one.
#include "onnx_rewrite.h"

#include <algorithm>
#include <utility>

#include "external_data.h"
#include "onnx_habits.h"
#include "penstock/backend.hpp"

namespace penstock::onnxruntime {
namespace {

using plugin::Error;

constexpr uint64_t kBytesMax = (uint64_t{1} << 31) - 1;  // of a protobuf message
constexpr uint64_t kIdentityOpset = 13;  // a version that has Identity for all types
constexpr int kDepthMax = 100;           // of graphs in nodes

// Copies a model field by field. One thread at a time.
class Rewriter final {
 public:
  explicit Rewriter(const OnnxFile& file) : file_(file), bytes_(file.path, file.memory) {}

  std::string Model();

 private:
  // The kinds of messages that are treated differently. kOther is copied as it is.
  enum class Kind { kOther, kMainGraph, kGraph, kNode, kFunction, kAttribute, kTensor };

  // The kind of the field `number` of a message of kind `outer`.
  static Kind KindOf(Kind outer, uint32_t number);
  std::string Message(Fields fields, Kind kind, int depth);
  std::string Field(Fields& field, Kind kind, int depth);
  // A node of the main graph as fields of the graph, without what is old in it: it may need another
  // node before it.
  std::string Nodes(Fields node, int depth);
  [[noreturn]] void Refuse(const std::string& what) const {
    throw Error(PENSTOCK_INVALID_ARGUMENT, file_.path + " " + what);
  }
  // The bytes of the file from `begin` to `end`, as they are.
  std::string Copy(uint64_t begin, uint64_t end);
  // The TensorProto with its external data, if it has any, moved into the message.
  std::string Tensor(Fields tensor);
  // The ZipMap that gives the output called `name`, or null.
  const ZipMap* FindZipMap(const std::string& name) const;
  const ZipMap* ZipMapOfNode(Fields node) const;
  // An Identity with the name, input and output of a ZipMap node.
  std::string IdentityNode(Fields node);
  // The declaration of the graph's output that takes the place of the ZipMap's.
  static std::string ProbabilityOutput(const ZipMap& map);

  const OnnxFile& file_;
  FileBytes bytes_;
};

// Operators before this version really have these attributes.
bool HasOldHabits(const OnnxFile& file) { return file.has_old_habits && file.opset >= kOpsetMin; }

// Before opset 7 the runtime has no operators, and Unsqueeze changed in 13.
bool HasChannelSlopes(const OnnxFile& file) {
  constexpr uint64_t kUnsqueezeWithAttribute = 12;
  return !file.channel_slopes.empty() && file.opset >= kOpsetMin &&
         file.opset <= kUnsqueezeWithAttribute;
}

void CheckSize(uint64_t size) {
  if (size > kBytesMax) {
    throw Error(PENSTOCK_INVALID_ARGUMENT,
                "the model's file must be changed before ONNX Runtime takes it (external data "
                "within a node, a ZipMap, or an attribute of an old version), and would be larger "
                "than 2 GiB then");
  }
}

std::string FirstOutput(Fields node) {
  while (node.Next()) {
    if (node.number() == kNodeOutput && node.HasLength()) return node.Text();
  }
  return {};
}

std::string Rewriter::Model() {
  std::string result;
  bool has_graph = false;
  Fields model(bytes_, 0, bytes_.size());
  while (model.Next()) {
    const bool is_graph = model.number() == kModelGraph && model.HasLength();
    const bool is_function = model.number() == kModelFunction && model.HasLength();
    // Protobuf merges repeated messages of a singular field. Two graphs that were each read alone
    // would then mean something else together than what was checked.
    if (is_graph && std::exchange(has_graph, true)) Refuse("has two graphs");
    if (is_graph || is_function) {
      AppendBytes(result, model.number(),
                  Message(model.Inside(), is_graph ? Kind::kMainGraph : Kind::kFunction, 0));
    } else {
      result += Copy(model.start(), model.next());
    }
    CheckSize(result.size());
  }
  if (!model.IsWhole()) Refuse("is no ONNX model");
  // A model that only has operators of ai.onnx.ml need not import the standard operators, to which
  // Identity belongs.
  if (!file_.imports_onnx) {
    std::string opset;
    AppendNumber(opset, kOpsetVersion, kIdentityOpset);
    AppendBytes(result, kModelOpset, opset);
  }
  return result;
}

Rewriter::Kind Rewriter::KindOf(Kind outer, uint32_t number) {
  switch (outer) {
    case Kind::kGraph:
      if (number == kGraphInitializer) return Kind::kTensor;
      [[fallthrough]];
    case Kind::kMainGraph:  // whose own initialisers stay as they are
      return number == kGraphNode ? Kind::kNode : Kind::kOther;
    case Kind::kFunction:
      return number == kFunctionNode ? Kind::kNode : Kind::kOther;
    case Kind::kNode:
      return number == kNodeAttribute ? Kind::kAttribute : Kind::kOther;
    case Kind::kAttribute:
      if (number == kAttributeGraph || number == kAttributeGraphs) return Kind::kGraph;
      if (number == kAttributeTensor || number == kAttributeTensors) return Kind::kTensor;
      return Kind::kOther;
    default:
      return Kind::kOther;
  }
}

std::string Rewriter::Message(Fields fields, Kind kind, int depth) {
  if (depth > kDepthMax) Refuse("has graphs that are nested too deep");
  std::string result;
  while (fields.Next()) {
    if (kind == Kind::kMainGraph && fields.HasLength()) {
      const bool is_output = fields.number() == kGraphOutput;
      const bool is_node = fields.number() == kGraphNode;
      const ZipMap* map = nullptr;
      if (is_node) map = ZipMapOfNode(fields.Inside());
      for (Fields value = fields.Inside(); is_output && value.Next();) {
        if (value.number() == kValueName && value.HasLength()) map = FindZipMap(value.Text());
      }
      if (map != nullptr) {
        AppendBytes(result, fields.number(),
                    is_node ? IdentityNode(fields.Inside()) : ProbabilityOutput(*map));
        continue;
      }
    }
    const bool is_main_node = kind == Kind::kMainGraph && fields.number() == kGraphNode;
    if (is_main_node && fields.HasLength() && (HasOldHabits(file_) || HasChannelSlopes(file_))) {
      result += Nodes(fields.Inside(), depth + 1);
    } else {
      result += Field(fields, kind, depth);
    }
    CheckSize(result.size());
  }
  if (!fields.IsWhole())
    Refuse("is no ONNX model");  // otherwise the malformed rest would be lost silently
  return result;
}

std::string Rewriter::Nodes(Fields node, int depth) {
  const NodeHabits habits = ReadHabits(node);
  const bool has_habits = HasOldHabits(file_);
  const auto slope = HasChannelSlopes(file_) ? file_.channel_slopes.find(FirstOutput(node))
                                             : file_.channel_slopes.end();
  const bool has_slope = slope != file_.channel_slopes.end();
  int inputs = 0;
  const auto is_vector = [&](const std::string& name) {
    return file_.vector_scales.contains(name);
  };
  std::string result;
  while (node.Next()) {
    const bool is_attribute = node.number() == kNodeAttribute && node.HasLength();
    if (has_habits && is_attribute && IsOldHabit(habits, node.Inside(), is_vector)) continue;
    if (has_slope && node.number() == kNodeInput && ++inputs == 2) {
      AppendBytes(result, kNodeInput, SlopeName(slope->first));
    } else {
      result += Field(node, Kind::kNode, depth);
    }
    CheckSize(result.size());
  }
  if (!node.IsWhole()) Refuse("is no ONNX model");
  std::string nodes;
  if (has_slope) AppendBytes(nodes, kGraphNode, UnsqueezeNode(slope->second, slope->first));
  AppendBytes(nodes, kGraphNode, result);
  return nodes;
}

std::string Rewriter::Field(Fields& field, Kind outer, int depth) {
  const Kind kind = field.HasLength() ? KindOf(outer, field.number()) : Kind::kOther;
  if (kind == Kind::kOther) return Copy(field.start(), field.next());
  std::string result;
  AppendBytes(
      result, field.number(),
      kind == Kind::kTensor ? Tensor(field.Inside()) : Message(field.Inside(), kind, depth + 1));
  return result;
}

std::string Rewriter::Copy(uint64_t begin, uint64_t end) {
  CheckSize(end - begin);
  std::string result(end - begin, '\0');
  if (!bytes_.Read(begin, end - begin, result.data())) {
    Refuse("cannot be read");
  }
  return result;
}

std::string Rewriter::Tensor(Fields tensor) {
  const std::optional<ExternalTensor> external = ReadExternal(tensor);
  std::string result;
  while (tensor.Next()) {
    const bool says_where =
        tensor.number() == kTensorExternal || tensor.number() == kTensorLocation;
    if (!external || !says_where) result += Copy(tensor.start(), tensor.next());
  }
  if (!tensor.IsWhole()) Refuse("is no ONNX model");
  if (!external) return result;
  const uint64_t bytes = ExternalBytes(*external);
  CheckSize(bytes);
  CheckExternalData(file_.path, *external);
  std::string data(bytes, '\0');
  ReadExternalData(file_.path, *external, data.data());
  AppendBytes(result, kTensorRaw, data);
  return result;
}

const ZipMap* Rewriter::FindZipMap(const std::string& name) const {
  const auto found = std::find_if(file_.zip_maps.begin(), file_.zip_maps.end(),
                                  [&](const ZipMap& map) { return map.output == name; });
  return found == file_.zip_maps.end() ? nullptr : &*found;
}

const ZipMap* Rewriter::ZipMapOfNode(Fields node) const {
  const std::string output = FirstOutput(node);
  return output.empty() ? nullptr : FindZipMap(output);
}

std::string Rewriter::IdentityNode(Fields node) {
  std::string result;
  while (node.Next()) {
    const bool is_kept =
        node.number() == kNodeInput || node.number() == kNodeOutput || node.number() == kNodeName;
    if (is_kept) result += Copy(node.start(), node.next());
  }
  if (!node.IsWhole()) Refuse("is no ONNX model");
  AppendBytes(result, kNodeOperator, "Identity");
  return result;
}

std::string Rewriter::ProbabilityOutput(const ZipMap& map) {
  std::string columns;
  if (!map.labels.empty()) AppendNumber(columns, kDimValue, map.labels.size());
  std::string shape;
  AppendBytes(shape, kShapeDim, {});
  AppendBytes(shape, kShapeDim, columns);
  std::string tensor;
  AppendNumber(tensor, kTensorTypeElement, kOrtFloat);
  AppendBytes(tensor, kTensorTypeShape, shape);
  std::string type;
  AppendBytes(type, kTypeTensor, tensor);
  std::string value;
  AppendBytes(value, kValueName, map.output);
  AppendBytes(value, kValueType, type);
  return value;
}

}  // namespace

bool NeedsRewrite(const OnnxFile& file) {
  return file.has_inner_external || !file.zip_maps.empty() || HasOldHabits(file) ||
         HasChannelSlopes(file);
}

std::string RewriteModel(const OnnxFile& file) { return Rewriter(file).Model(); }

}  // namespace penstock::onnxruntime
