// SPDX-License-Identifier: Apache-2.0
// An .ort file is a FlatBuffer: tables point to other tables by offsets. A table starts with the
// distance to its description (the vtable), which holds the offset of each field. The file is read
// without the FlatBuffers library, and without its verifier.
//
// So nothing in it can be trusted. Every number is read with a bounds check, and a bad offset gives
// "not there". Offsets may form a cycle or lead to the same table again and again: the depth, the
// number of elements and the bytes of texts are limited by what a file of this size can hold.
#include "ort_file.h"

#include <algorithm>
#include <optional>

#include "onnx_node.h"
#include "proto_file.h"

namespace penstock::onnxruntime {
namespace {

// Positions of fields in the tables of the format (ort.fbs), which never change.
enum : uint32_t { kSessionModel = 1, kModelGraphField = 7, kGraphNodeArgs = 1, kGraphNodes = 2 };
enum : uint32_t { kNodeDomainField = 2, kNodeType = 5, kNodeInputs = 8, kNodeAttributes = 10 };
enum : uint32_t { kAttributeNameField = 0, kAttributeGraphField = 7, kAttributeGraphList = 12 };
enum : uint32_t { kInfoName = 0, kInfoType = 2 };
enum : uint32_t { kTypeKind = 1, kTypeValue = 2, kTypeKindTensor = 1 };
enum : uint32_t { kTensorShape = 1, kShapeDims = 0 };

using Offset = std::optional<uint64_t>;  // offset in the file; none: absent, or malformed

// Reads a FlatBuffer. All numbers are little-endian. One thread at a time.
class FlatFile final {
 public:
  explicit FlatFile(const std::string& path) : file_(path), text_left_(file_.size()) {}

  // The outermost table, if the file has the identifier "ORTM".
  Offset Root() {
    constexpr uint64_t kIdentifier = 0x4d54524f;
    if (Number(sizeof(uint32_t), sizeof(uint32_t)) != kIdentifier) return std::nullopt;
    return Follow(0);
  }
  // The offset of a field's value in the table. None if the table omits the field, because it has
  // its default.
  Offset Field(Offset table, uint32_t index) {
    if (!table) return std::nullopt;
    const Offset back = Number(*table, sizeof(uint32_t));
    if (!back) return std::nullopt;
    const int64_t description =
        static_cast<int64_t>(*table) - static_cast<int32_t>(static_cast<uint32_t>(*back));
    if (description < 0) return std::nullopt;
    const auto start = static_cast<uint64_t>(description);
    const uint64_t entry = sizeof(uint16_t) * (2 + uint64_t{index});
    const Offset size = Number(start, sizeof(uint16_t));
    if (!size || entry >= *size) return std::nullopt;
    const Offset offset = Number(start + entry, sizeof(uint16_t));
    if (!offset || *offset == 0) return std::nullopt;
    return *table + *offset;
  }
  // The table, vector or text that a field refers to.
  Offset Inner(Offset table, uint32_t index) { return Follow(Field(table, index)); }
  Offset Follow(Offset at) {
    if (!at) return std::nullopt;
    const Offset offset = Number(*at, sizeof(uint32_t));
    if (!offset) return std::nullopt;
    return *at + *offset;
  }
  // The little-endian number of `bytes` bytes at an offset.
  Offset Number(uint64_t at, uint64_t bytes) {
    uint64_t value = 0;
    for (uint64_t i = 0; i < bytes; ++i) {
      uint8_t byte = 0;
      if (at + i >= file_.size() || !file_.Get(at + i, byte)) return std::nullopt;
      value |= uint64_t{byte} << (8 * i);
    }
    return value;
  }
  uint64_t Size(Offset vector) {
    return vector ? Number(*vector, sizeof(uint32_t)).value_or(0) : 0;
  }
  // The table at an index of a vector of tables.
  Offset Element(uint64_t vector, uint64_t index) {
    return Follow(vector + sizeof(uint32_t) * (1 + index));
  }
  // Limits all texts together to the size of the file. A damaged file could refer to one long text
  // from millions of nodes.
  std::string Text(Offset at) {
    const uint64_t size = std::min(Size(at), text_left_);
    text_left_ -= size;
    std::string text;
    for (uint64_t i = 0; i < size; ++i) {
      const Offset byte = Number(*at + sizeof(uint32_t) + i, 1);
      if (!byte) break;
      text.push_back(static_cast<char>(*byte));
    }
    return text;
  }
  uint64_t bytes() const { return file_.size(); }

 private:
  FileBytes file_;
  uint64_t text_left_;
};

// True if the value is a tensor with a shape that has no dimensions.
bool IsScalar(FlatFile& file, Offset value) {
  const Offset type = file.Inner(value, kInfoType);
  const Offset kind = file.Field(type, kTypeKind);
  if (!kind || file.Number(*kind, 1) != kTypeKindTensor) return false;
  const Offset shape = file.Inner(file.Inner(type, kTypeValue), kTensorShape);
  return shape && file.Size(file.Inner(shape, kShapeDims)) == 0;
}

// Collects the flags of the nodes of a graph, and of the graphs in them. One thread at a time.
class Scan final {
 public:
  explicit Scan(FlatFile& file) : file_(file), left_(file.bytes() / sizeof(uint32_t)) {}

  void AddGraph(Offset graph, int depth) {
    const Offset nodes = file_.Inner(graph, kGraphNodes);
    const uint64_t count = file_.Size(nodes);
    for (uint64_t i = 0; i < count && Take(); ++i) AddNode(file_.Element(*nodes, i), depth);
  }
  uint32_t flags() const { return flags_; }

 private:
  static constexpr int kDepthMax = 100;

  // Counts nodes, attributes and graphs. Each needs at least four bytes of the file, so if there
  // are more, the same ones come again.
  bool Take() { return left_ > 0 && left_-- > 0; }

  void AddNode(Offset node, int depth) {
    const Offset inputs = file_.Inner(node, kNodeInputs);
    const bool has_third_input =
        file_.Size(inputs) > 2 && file_.Size(file_.Element(*inputs, 2)) > 0;
    bool is_seeded = false;
    const Offset attributes = file_.Inner(node, kNodeAttributes);
    const uint64_t count = file_.Size(attributes);
    for (uint64_t i = 0; i < count && Take(); ++i) {
      const Offset attribute = file_.Element(*attributes, i);
      if (file_.Text(file_.Inner(attribute, kAttributeNameField)) == "seed") is_seeded = true;
      if (depth >= kDepthMax) continue;
      AddGraph(file_.Inner(attribute, kAttributeGraphField), depth + 1);
      const Offset graphs = file_.Inner(attribute, kAttributeGraphList);
      const uint64_t graph_count = file_.Size(graphs);
      for (uint64_t k = 0; k < graph_count && Take(); ++k) {
        AddGraph(file_.Element(*graphs, k), depth + 1);
      }
    }
    flags_ |= FlagsOfOperator(file_.Text(file_.Inner(node, kNodeDomainField)),
                              file_.Text(file_.Inner(node, kNodeType)), is_seeded, has_third_input);
  }

  FlatFile& file_;
  uint64_t left_;
  uint32_t flags_ = 0;
};

}  // namespace

void ReadOrtFile(OnnxFile& result) {
  FlatFile file(result.path);
  const Offset graph = file.Inner(file.Inner(file.Root(), kSessionModel), kModelGraphField);
  const Offset values = file.Inner(graph, kGraphNodeArgs);
  const uint64_t count = std::min(file.Size(values), file.bytes() / sizeof(uint32_t));
  for (uint64_t i = 0; i < count; ++i) {
    const Offset value = file.Element(*values, i);
    if (IsScalar(file, value)) result.scalars.insert(file.Text(file.Inner(value, kInfoName)));
  }
  Scan scan(file);
  scan.AddGraph(graph, 0);
  result.flags = scan.flags();
}

}  // namespace penstock::onnxruntime
