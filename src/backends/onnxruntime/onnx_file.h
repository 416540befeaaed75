// SPDX-License-Identifier: Apache-2.0
// Facts in an ONNX file that the runtime does not report, or that must be changed before it gets
// the model.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "onnx_slopes.h"
#include "penstock/backend.hpp"
#include "proto_file.h"

namespace penstock::onnxruntime {

using Names = std::set<std::string, std::less<>>;

// The field numbers of ONNX's messages (onnx/onnx.proto) that are read or written here, one enum
// for each message: ModelProto, OperatorSetIdProto, GraphProto, FunctionProto, NodeProto,
// AttributeProto, TensorProto, StringStringEntryProto, ValueInfoProto, TypeProto and its parts.
enum : uint32_t {
  kModelIrVersion = 1,
  kModelProducer = 2,
  kModelGraph = 7,
  kModelOpset = 8,
  kModelFunction = 25
};
enum : uint32_t { kOpsetDomain = 1, kOpsetVersion = 2 };
enum : uint32_t { kGraphNode = 1, kGraphInitializer = 5, kGraphInput = 11, kGraphOutput = 12 };
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
  kAttributeInts = 8,
  kAttributeStrings = 9,
  kAttributeTensors = 10,
  kAttributeGraphs = 11
};
enum : uint32_t {
  kTensorDims = 1,
  kTensorType = 2,
  kTensorInt32s = 5,
  kTensorFloats = 4,
  kTensorStrings = 6,
  kTensorInt64s = 7,
  kTensorName = 8,
  kTensorRaw = 9,
  kTensorDoubles = 10,
  kTensorUint64s = 11,
  kTensorExternal = 13,
  kTensorLocation = 14
};
enum : uint32_t { kEntryKey = 1, kEntryValue = 2 };
enum : uint32_t { kValueName = 1, kValueType = 2 };
enum : uint32_t { kTypeTensor = 1 };
enum : uint32_t { kTensorTypeElement = 1, kTensorTypeShape = 2 };
enum : uint32_t { kShapeDim = 1 };
enum : uint32_t { kDimValue = 1 };

// Stands for a number whose text in the file is not a number.
inline constexpr uint64_t kNotANumber = UINT64_MAX;

// A tensor whose data lies in a file of its own.
struct ExternalTensor {
  std::string name;
  int type = 0;  // as ElementType
  std::vector<int64_t> shape;
  std::string location;  // relative to the folder of the model's file
  uint64_t offset = 0;
  std::optional<uint64_t> length;  // none: to the end of the file
  bool is_table = false;           // nodes only look rows up in it; see FindGatheredNames
};

// A ZipMap whose output is one of the graph's: how scikit-learn's exporters give probabilities, as
// a sequence of maps from class label to probability.
struct ZipMap {
  std::string output;
  std::vector<std::string> labels;  // as text, in the order of the columns
};

// The facts that were read from a model's file.
struct OnnxFile {
  std::string path;
  // Of a model that the host gave in memory, which outlives the load. `path` is for messages then.
  std::optional<std::string_view> memory;
  // Inputs and outputs of the graph that are declared as scalars: with a shape that has no
  // dimensions. The runtime reports no dimensions for them and for those without a shape, which
  // may have any.
  Names scalars;
  Names constant_inputs;                 // inputs with an initialiser before IR version 4
  std::vector<ExternalTensor> external;  // of the graph's initialisers
  bool has_inner_external = false;  // the same within a node: a constant, or the body of a loop
  std::vector<ZipMap> zip_maps;
  std::map<std::string, std::vector<std::string>> class_labels;  // by output, of classifiers
  std::map<std::string, plugin::Value> defaults;  // small initialisers of inputs, by name
  uint32_t flags = 0;  // PENSTOCK_HAS_STATE and PENSTOCK_NOT_DETERMINISTIC, from the operators
  bool imports_onnx = false;  // the operators of the domain ""
  uint64_t opset = 0;         // their version; 0: none
  // The graph's nodes have attributes that the runtime must not get (onnx_habits).
  bool has_old_habits = false;
  Names vector_scales;  // scales of BatchNormalizations that are initialisers of one dimension
  std::map<std::string, ChannelSlope> channel_slopes;  // by the output of the PRelu
  // CNTK wrote this file. Its batch always has the size 1, and a first dimension with a name counts
  // the steps of a sequence.
  bool is_cntk = false;
};

// Reads only the fields it needs, so even a file of many gigabytes takes little time and memory.
// Never fails: a file that is no ONNX model gives an empty result, and the runtime then reports
// what is wrong with it.
// `memory`: the model's bytes, if they are not in the file.
OnnxFile ReadOnnxFile(const std::string& path,
                      std::optional<std::string_view> memory = std::nullopt);

// Appends the sizes in the current field of `tensor` to `shape`. A writer may pack them into one
// field or give each its own.
void ReadDims(Fields& tensor, std::vector<int64_t>& shape);

// Reads a TensorProto whose data lies in another file. None if the data lies in the model's file.
std::optional<ExternalTensor> ReadExternal(Fields tensor);

}  // namespace penstock::onnxruntime
