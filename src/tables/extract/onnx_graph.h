// SPDX-License-Identifier: Apache-2.0
// What is in an ONNX file, as far as one needs to know it to take tables out of it.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "protocols/tfs/wire_reader.h"

namespace penstock::tables {

// The field numbers of ONNX's messages (onnx/onnx.proto) that are read or written here, one enum
// for each message: ModelProto, GraphProto, FunctionProto, NodeProto, AttributeProto, TensorProto,
// SparseTensorProto, StringStringEntryProto, ValueInfoProto, TypeProto and its parts.
enum : uint32_t { kModelIrVersion = 1, kModelGraph = 7, kModelFunction = 25 };
enum : uint32_t {
  kGraphNode = 1,
  kGraphInitializer = 5,
  kGraphInput = 11,
  kGraphOutput = 12,
  kGraphSparse = 15
};
enum : uint32_t { kFunctionNode = 7 };
enum : uint32_t {
  kNodeInput = 1,
  kNodeOutput = 2,
  kNodeName = 3,
  kNodeOperator = 4,
  kNodeAttribute = 5,
  kNodeDomain = 7
};
enum : uint32_t {
  kAttributeName = 1,
  kAttributeInt = 3,
  kAttributeTensor = 5,
  kAttributeGraph = 6,
  kAttributeTensors = 10,
  kAttributeGraphs = 11,
  kAttributeSparse = 22,
  kAttributeSparses = 23
};
enum : uint32_t {
  kTensorDims = 1,
  kTensorType = 2,
  kTensorFloats = 4,
  kTensorName = 8,
  kTensorRaw = 9,
  kTensorDoubles = 10,
  kTensorExternal = 13,
  kTensorLocation = 14
};
enum : uint32_t { kSparseValues = 1, kSparseIndices = 2 };
enum : uint32_t { kEntryKey = 1, kEntryValue = 2 };
enum : uint32_t { kValueName = 1, kValueType = 2 };
enum : uint32_t { kTypeTensor = 1 };
enum : uint32_t { kTensorTypeElement = 1, kTensorTypeShape = 2 };
enum : uint32_t { kShapeDim = 1 };
enum : uint32_t { kDimValue = 1 };

// The types of ONNX that are named here.
enum : int { kOnnxFloat = 1, kOnnxInt32 = 6, kOnnxInt64 = 7, kOnnxString = 8, kOnnxDouble = 11 };

// A field of a message. All views point into the file.
struct OnnxField {
  uint32_t number = 0;
  bool has_length = false;
  uint64_t value = 0;      // of a varint
  std::string_view bytes;  // of a text, a message or packed numbers
  std::string_view whole;  // with its tag
};

// Calls `visit` with each field of a message, until it returns false. False: it did, or the message
// is malformed.
template <typename Visitor>
bool VisitFields(std::string_view message, Visitor&& visit) {
  tfs::WireError error;
  tfs::WireReader reader(message, error);
  while (!reader.AtEnd()) {
    OnnxField field;
    const char* const begin = reader.cursor();
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    field.number = tag >> 3;
    const auto type = static_cast<tfs::WireType>(tag & 7);
    field.has_length = type == tfs::WireType::kLength;
    const bool ok = field.has_length                 ? reader.ReadBytes(field.bytes)
                    : type == tfs::WireType::kVarint ? reader.ReadVarint(field.value)
                                                     : reader.SkipField(tag, tfs::kNestingMax);
    if (!ok) return false;
    field.whole = {begin, static_cast<size_t>(reader.cursor() - begin)};
    if (!visit(field)) return false;
  }
  return true;
}

// Where the data of a tensor lies, if that is not the model's file.
struct ExternalPlace {
  std::string location;  // relative to the folder of the model's file
  uint64_t offset = 0;
  std::optional<uint64_t> length;  // none: to the end of the file
};

// A TensorProto.
struct OnnxTensor {
  std::string_view name;
  std::vector<int64_t> dims;
  int type = 0;
  std::string_view data;  // the elements as they are in memory; empty: they are written otherwise
  std::optional<ExternalPlace> external;

  // Of its elements; none if the type is not one that a table can have, or the number overflows.
  std::optional<uint64_t> Bytes() const;
};

// A NodeProto.
struct OnnxNode {
  std::string_view message;
  std::vector<std::string_view> inputs;
  std::vector<std::string_view> outputs;
  std::string_view name;
  std::string_view operation;
  std::string_view domain;
  int64_t axis = 0;  // of a Gather
  int64_t to = 0;    // of a Cast

  bool Is(std::string_view wanted) const {
    return operation == wanted && (domain.empty() || domain == "ai.onnx");
  }
};

// An input of the graph.
struct OnnxInput {
  std::string_view name;
  int type = 0;  // of its elements; 0: it is no tensor
  bool has_shape = false;
  std::vector<std::string_view> dims;  // the fields, with their tags
};

// The graph of a model. Views of the file, which must outlive it.
struct OnnxGraph {
  uint64_t ir_version = 0;
  std::vector<OnnxInput> inputs;
  std::vector<std::string_view> outputs;
  std::vector<OnnxTensor> initializers;
  std::vector<OnnxNode> nodes;
  std::set<std::string_view> inner_names;  // what the bodies of loops and branches use
};

// INVALID_ARGUMENT if these bytes are no ONNX model, or a malformed one.
StatusOr<OnnxGraph> ReadOnnxGraph(std::string_view model);
// False if the message is malformed.
bool ReadOnnxTensor(std::string_view message, OnnxTensor& tensor);

// The bytes of an element, and the type of tables; none: tables have no such type.
struct TableType {
  int onnx = 0;
  std::string_view name;
  uint64_t bytes = 0;
};
const TableType* FindTableType(int onnx);

}  // namespace penstock::tables
