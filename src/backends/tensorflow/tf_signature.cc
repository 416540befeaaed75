// SPDX-License-Identifier: Apache-2.0
// Two kinds of models come here. A SavedModel says in its MetaGraphDef which tensors are the inputs
// and outputs of each signature. A frozen graph says nothing, so MakeSignature takes the names from
// options or guesses them.
//
// The MetaGraphDef is read with WireReader and not with protobuf: the process may hold only one
// copy of protobuf's registry, and TensorFlow brings its own.
//
// A signature must be usable as a whole. If one of its tensors has a type that no request can
// carry, the signature is left out with the reason, and the others are served. The graph itself
// gets new operations in one case: see CopyOf.
#include "tf_signature.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <utility>

#include "tf_tensor.h"
#include "wire.h"

namespace penstock::tensorflow {
namespace {

using plugin::Error;

// Field numbers of TensorFlow's messages.
enum : uint32_t { kMetaGraphSignatureDef = 5 };
enum : uint32_t { kMapKey = 1, kMapValue = 2 };
enum : uint32_t {
  kSignatureInputs = 1,
  kSignatureOutputs = 2,
  kSignatureMethod = 3,
  kSignatureDefaults = 4
};
enum : uint32_t {
  kInfoName = 1,
  kInfoType = 2,
  kInfoShape = 3,
  kInfoSparse = 4,
  kInfoComposite = 5
};
enum : uint32_t { kSparseValues = 1, kSparseIndices = 2, kSparseShape = 3 };
enum : uint32_t { kCompositeType = 1, kCompositeComponent = 2 };
enum : uint32_t { kTypeSpecClass = 1 };
enum : uint64_t { kSparseTensorSpec = 1, kRaggedTensorSpec = 3 };  // of kTypeSpecClass
enum : uint32_t { kMapSignatureDef = 1 };                          // of SignatureDefMap
enum : uint32_t { kShapeDim = 2, kShapeUnknownRank = 3, kDimSize = 1 };

struct MapEntry {
  std::string_view key;
  std::string_view value;
};

MapEntry ReadEntry(std::string_view bytes) {
  MapEntry entry;
  for (WireReader reader(bytes); reader.Next();) {
    if (reader.field() == kMapKey) entry.key = reader.bytes();
    if (reader.field() == kMapValue) entry.value = reader.bytes();
  }
  return entry;
}

void ReadShape(std::string_view bytes, plugin::TensorSpec& spec) {
  for (WireReader reader(bytes); reader.Next();) {
    if (reader.field() == kShapeUnknownRank) spec.unknown_rank = reader.number() != 0;
    if (reader.field() != kShapeDim) continue;
    int64_t size = 0;
    for (WireReader dim(reader.bytes()); dim.Next();) {
      if (dim.field() == kDimSize) size = static_cast<int64_t>(dim.number());
    }
    spec.shape.push_back(size < 0 ? -1 : size);
  }
  if (spec.unknown_rank) spec.shape.clear();
}

// The tensor called "op:1" in the graph; "op" is "op:0".
std::optional<TF_Output> FindTensor(const TfApi& api, TF_Graph* graph, std::string_view name) {
  int index = 0;
  const size_t colon = name.rfind(':');
  if (colon != std::string_view::npos) {
    const std::string_view digits = name.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    name = name.substr(0, colon);
  }
  TF_Operation* const operation = api.GraphOperationByName(graph, std::string(name).c_str());
  if (operation == nullptr || index < 0 || index >= api.OperationNumOutputs(operation)) {
    return std::nullopt;
  }
  return TF_Output{operation, index};
}

// The type without "reference to": only old graphs have such, and a run gives the value itself.
int32_t BaseType(int32_t type) {
  constexpr int32_t kFirst = 100, kEnd = 200;
  return type > kFirst && type < kEnd ? type - kFirst : type;
}

// Why tensors of this type cannot be sent or received; empty if they can.
std::string WhyNotServed(int32_t type) {
  if (type >= PENSTOCK_FLOAT32 && type <= PENSTOCK_UINT64 && type != TF_RESOURCE &&
      type != TF_VARIANT) {
    return {};
  }
  if (type == TF_RESOURCE) return "has the type resource";
  if (type == TF_VARIANT) return "has the type variant";
  // The types of DataType from 24 on.
  constexpr std::string_view kNames[] = {
      "float8_e5m2",     "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz",
      "float8_e5m2fnuz", "int4",          "uint4",           "int2",
      "uint2",           "float4_e2m1fn"};
  const int64_t index = int64_t{type} - (PENSTOCK_UINT64 + 1);
  if (index >= 0 && index < static_cast<int64_t>(std::size(kNames)))
    return "has the type " + std::string(kNames[index]);
  return "has the type number " + std::to_string(type) + ", which is none of TensorFlow's";
}

// One input or output and its tensor in the graph. One thread at a time.
struct Bound {
  plugin::TensorSpec spec;
  TF_Output tensor;
};

// Finds the tensor `bound.spec.backend_name`. Returns why no request could use it; empty if one
// can.
std::string Bind(const TfApi& api, TF_Graph* graph, Bound& bound) {
  plugin::TensorSpec& spec = bound.spec;
  const std::optional<TF_Output> tensor = FindTensor(api, graph, spec.backend_name);
  if (!tensor) return "is the tensor '" + spec.backend_name + "', which the graph does not have";
  bound.tensor = *tensor;
  if (spec.dtype == 0) spec.dtype = api.OperationOutputType(*tensor);
  spec.dtype = BaseType(spec.dtype);
  return WhyNotServed(spec.dtype);
}

// What a TensorInfo says. One thread at a time.
struct Info {
  plugin::TensorSpec spec;
  std::string_view sparse;     // the message CooSparse; null data: the tensor has no such form
  std::string_view composite;  // the message CompositeTensor
};

Info ReadInfo(std::string_view bytes) {
  Info info;
  info.spec.unknown_rank = true;  // unless there is a shape
  for (WireReader reader(bytes); reader.Next();) {
    if (reader.field() == kInfoSparse) info.sparse = reader.bytes();
    if (reader.field() == kInfoComposite) info.composite = reader.bytes();
    if (reader.field() == kInfoName) info.spec.backend_name = reader.bytes();
    if (reader.field() == kInfoType) info.spec.dtype = static_cast<int32_t>(reader.number());
    if (reader.field() == kInfoShape) {
      info.spec.unknown_rank = false;
      ReadShape(reader.bytes(), info.spec);
    }
  }
  return info;
}

// Names `spec` as a part of the value `whole`, as "whole/indices".
void MakePart(std::string_view whole, uint32_t part, uint32_t level, plugin::TensorSpec& spec) {
  static constexpr std::string_view kNames[] = {
      "", "indices", "values", "dense_shape", "flat_values", "row_splits_"};
  spec.name = std::string(whole) + "/" + std::string(kNames[part]);
  if (part == PENSTOCK_PART_RAGGED_SPLITS) spec.name += std::to_string(level);
  spec.part = {std::string(whole), part, level};
}

// The three dense tensors of a sparse one, in the older form of TensorInfo (CooSparse). It has only
// names, so the types and shapes follow from the meaning of each part.
std::vector<Bound> SparseParts(std::string_view name, const Info& info) {
  const int64_t rank = info.spec.unknown_rank ? -1 : static_cast<int64_t>(info.spec.shape.size());
  std::vector<Bound> parts(3);
  plugin::TensorSpec& indices = parts[0].spec;
  MakePart(name, PENSTOCK_PART_SPARSE_INDICES, 0, indices);
  indices.dtype = PENSTOCK_INT64;
  indices.shape = {-1, rank};
  plugin::TensorSpec& values = parts[1].spec;
  MakePart(name, PENSTOCK_PART_SPARSE_VALUES, 0, values);
  values.dtype = info.spec.dtype;
  values.shape = {-1};
  plugin::TensorSpec& shape = parts[2].spec;
  MakePart(name, PENSTOCK_PART_SPARSE_SHAPE, 0, shape);
  shape.dtype = PENSTOCK_INT64;
  shape.shape = {rank};
  for (WireReader reader(info.sparse); reader.Next();) {
    if (reader.field() == kSparseIndices) indices.backend_name = reader.bytes();
    if (reader.field() == kSparseValues) values.backend_name = reader.bytes();
    if (reader.field() == kSparseShape) shape.backend_name = reader.bytes();
  }
  return parts;
}

// The components of a sparse or ragged tensor, in the newer form of TensorInfo (CompositeTensor).
// TensorFlow defines their order: indices, values and dense shape; or flat values and then the row
// splits from the outermost. Empty for other composite tensors.
std::vector<Bound> CompositeParts(std::string_view name, std::string_view composite) {
  uint64_t type = 0;
  std::vector<Bound> parts;
  for (WireReader reader(composite); reader.Next();) {
    if (reader.field() == kCompositeComponent) {
      parts.emplace_back().spec = ReadInfo(reader.bytes()).spec;
    }
    if (reader.field() != kCompositeType) continue;
    for (WireReader spec(reader.bytes()); spec.Next();) {
      if (spec.field() == kTypeSpecClass) type = spec.number();
    }
  }
  const bool is_sparse = type == kSparseTensorSpec && parts.size() == 3;
  const bool is_ragged = type == kRaggedTensorSpec && !parts.empty();
  if (!is_sparse && !is_ragged) return {};
  for (uint32_t i = 0; i < parts.size(); ++i) {
    if (is_sparse) {
      MakePart(name, PENSTOCK_PART_SPARSE_INDICES + i, 0, parts[i].spec);
    } else if (i == 0) {
      MakePart(name, PENSTOCK_PART_RAGGED_VALUES, 0, parts[i].spec);
    } else {
      MakePart(name, PENSTOCK_PART_RAGGED_SPLITS, i - 1, parts[i].spec);
    }
  }
  return parts;
}

// Reads one input or output, and appends its tensor, or the tensors that it is made of. Returns why
// no request could use it; empty if one can.
std::string ReadTensors(const TfApi& api, TF_Graph* graph, const MapEntry& entry,
                        std::vector<Bound>& to) {
  Info info = ReadInfo(entry.value);
  std::vector<Bound> parts;
  if (info.sparse.data() != nullptr) {
    parts = SparseParts(entry.key, info);
  } else if (info.composite.data() != nullptr) {
    parts = CompositeParts(entry.key, info.composite);
    if (parts.empty()) return "is composite, but neither sparse nor ragged";
  } else {
    info.spec.name = entry.key;
    parts.push_back({std::move(info.spec), {}});
  }
  for (Bound& part : parts) {
    std::string reason = Bind(api, graph, part);
    if (!reason.empty()) return reason;
    to.push_back(std::move(part));
  }
  return {};
}

TensorPtr ReadTensor(const TfApi& api, std::string_view tensor_proto) {
  const BufferPtr buffer = MakeBuffer(api, tensor_proto);
  // TensorFromProto replaces the contents of an existing tensor, so any small tensor will do.
  TensorPtr tensor(api.AllocateTensor(TF_FLOAT, nullptr, 0, sizeof(float)), {&api});
  CallStatus status(api);
  api.TensorFromProto(buffer.get(), tensor.get(), status.get());
  status.Check();
  return tensor;
}

// Appends the tensors sorted by name. The file keeps them in a map, so each export writes another
// order; clients want one that stays. Returns a name that comes twice, because a part of a
// composite tensor has it too; otherwise empty.
std::string AppendSorted(std::vector<Bound> bound, std::vector<plugin::TensorSpec>& specs,
                         std::vector<TF_Output>& tensors) {
  std::sort(bound.begin(), bound.end(),
            [](const Bound& a, const Bound& b) { return a.spec.name < b.spec.name; });
  const auto twice =
      std::adjacent_find(bound.begin(), bound.end(),
                         [](const Bound& a, const Bound& b) { return a.spec.name == b.spec.name; });
  if (twice != bound.end()) return twice->spec.name;
  for (Bound& each : bound) {
    specs.push_back(std::move(each.spec));
    tensors.push_back(each.tensor);
  }
  return {};
}

bool Same(const TF_Output& a, const TF_Output& b) { return a.oper == b.oper && a.index == b.index; }

// A tensor with the values of `tensor`. It gets an operation of its own: TensorFlow refuses to
// fetch what is fed.
TF_Output CopyOf(const TfApi& api, TF_Graph* graph, TF_Output tensor) {
  std::string name;
  for (int i = 0; name.empty() || api.GraphOperationByName(graph, name.c_str()) != nullptr; ++i) {
    name = "penstock_identity_" + std::to_string(i);
  }
  TF_OperationDescription* const operation = api.NewOperation(graph, "Identity", name.c_str());
  api.AddInput(operation, tensor);
  CallStatus status(api);
  const TF_Output copy{api.FinishOperation(operation, status.get()), 0};
  status.Check();
  return copy;
}

// Sets `feeds` and `feed_of`, as two inputs may name one tensor, and replaces outputs that are
// inputs. `inputs` holds the tensors of signature.inputs.
void BindInputs(const TfApi& api, TF_Graph* graph, const std::vector<TF_Output>& inputs,
                BoundSignature& signature) {
  for (const TF_Output& input : inputs) {
    const auto found = std::find_if(signature.feeds.begin(), signature.feeds.end(),
                                    [&](const TF_Output& feed) { return Same(feed, input); });
    signature.feed_of.push_back(static_cast<uint32_t>(found - signature.feeds.begin()));
    if (found == signature.feeds.end()) signature.feeds.push_back(input);
  }
  for (TF_Output& output : signature.outputs) {
    const bool is_fed = std::any_of(inputs.begin(), inputs.end(),
                                    [&](const TF_Output& input) { return Same(input, output); });
    if (is_fed) output = CopyOf(api, graph, output);
  }
}

// Reads one SignatureDef. Returns why no request could use it; empty if one can.
std::string ReadSignature(const TfApi& api, TF_Graph* graph, const MapEntry& definition,
                          BoundSignature& result) {
  result.signature.name = definition.key;
  std::map<std::string_view, std::string_view> defaults;
  std::vector<Bound> inputs;
  std::vector<Bound> outputs;
  for (WireReader reader(definition.value); reader.Next();) {
    const uint32_t field = reader.field();
    if (field == kSignatureMethod) result.signature.method_name = reader.bytes();
    if (field == kSignatureMethod || field > kSignatureDefaults) continue;
    const MapEntry entry = ReadEntry(reader.bytes());
    if (field == kSignatureDefaults) {
      defaults[entry.key] = entry.value;
      continue;
    }
    std::vector<Bound>& to = field == kSignatureInputs ? inputs : outputs;
    const std::string reason = ReadTensors(api, graph, entry, to);
    if (reason.empty()) continue;
    return std::string(field == kSignatureInputs ? "the input '" : "the output '") +
           std::string(entry.key) + "' " + reason;
  }
  std::vector<TF_Output> input_tensors;
  std::string twice = AppendSorted(std::move(inputs), result.signature.inputs, input_tensors);
  if (twice.empty()) {
    twice = AppendSorted(std::move(outputs), result.signature.outputs, result.outputs);
  }
  if (!twice.empty()) return "two of its tensors have the name '" + twice + "'";
  for (plugin::TensorSpec& input : result.signature.inputs) {
    const auto found = defaults.find(input.name);
    input.optional = found != defaults.end();
    result.defaults.push_back(input.optional ? ReadTensor(api, found->second) : TensorPtr());
    if (!input.optional) continue;
    input.default_value = ToValue(api, result.defaults.back().get());
    if (input.default_value && input.default_value->dtype != input.dtype) {
      return "the default of the input '" + input.name + "' has another type than the input";
    }
  }
  BindInputs(api, graph, input_tensors, result);
  return {};
}

// Appends the tensor that `text` names: "name=op:1", or "op:1" if clients shall use the name of the
// tensor; with `as_in_graph` they use "op:0" for "op".
void AddNamed(const TfApi& api, TF_Graph* graph, std::string_view text, bool as_in_graph,
              std::vector<plugin::TensorSpec>& specs, std::vector<TF_Output>& tensors) {
  const size_t equals = text.find('=');
  const std::string_view tensor_name =
      equals == std::string_view::npos ? text : text.substr(equals + 1);
  const std::optional<TF_Output> tensor = FindTensor(api, graph, tensor_name);
  if (!tensor) {
    throw Error(PENSTOCK_INVALID_ARGUMENT,
                "the graph has no tensor '" + std::string(tensor_name) + "'");
  }
  plugin::TensorSpec spec;
  spec.name = text.substr(0, equals);
  if (as_in_graph && text.find_first_of("=:") == std::string_view::npos) spec.name += ":0";
  spec.backend_name = tensor_name;
  spec.dtype = BaseType(api.OperationOutputType(*tensor));
  const std::string reason = WhyNotServed(spec.dtype);
  if (!reason.empty()) {
    throw Error(PENSTOCK_INVALID_ARGUMENT,
                "the tensor '" + spec.backend_name + "' " + reason +
                    ", which cannot be served: name other tensors with the options \"inputs\" and "
                    "\"outputs\"");
  }
  CallStatus status(api);
  const int rank = api.GraphGetTensorNumDims(graph, *tensor, status.get());
  status.Check();
  spec.unknown_rank = rank < 0;
  if (rank > 0) {
    spec.shape.resize(static_cast<size_t>(rank));
    api.GraphGetTensorShape(graph, *tensor, spec.shape.data(), rank, status.get());
    status.Check();
  }
  specs.push_back(std::move(spec));
  tensors.push_back(*tensor);
}

void AppendName(std::string_view name, std::string& list) {
  if (!list.empty()) list += ',';
  list += name;
}

// True if GraphPipe has the type itself. Its server for TensorFlow knew no others.
bool IsGraphPipeType(int32_t type) {
  constexpr int32_t kTypes[] = {PENSTOCK_FLOAT32, PENSTOCK_FLOAT64, PENSTOCK_FLOAT16,
                                PENSTOCK_INT8,    PENSTOCK_INT16,   PENSTOCK_INT32,
                                PENSTOCK_INT64,   PENSTOCK_UINT8,   PENSTOCK_UINT16,
                                PENSTOCK_UINT32,  PENSTOCK_UINT64,  PENSTOCK_STRING};
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

// Fills in the lists that are empty: all placeholders are inputs, and results that no operation
// consumes are outputs. Constants and assertions are never results. If one output of an operation
// is consumed, its other outputs are taken as by-products.
//
// GraphPipe's server for TensorFlow knew only the types of GraphPipe, and clients may send inputs
// by position. So `as_in_graph` puts inputs of other types behind the others, and leaves out such
// outputs.
void Guess(const TfApi& api, TF_Graph* graph, GraphNames& names) {
  const bool guess_inputs = names.inputs.empty();
  const bool guess_outputs = names.outputs.empty();
  std::string last_inputs;
  size_t position = 0;
  while (TF_Operation* operation = api.GraphNextOperation(graph, &position)) {
    const std::string_view type = api.OperationOpType(operation);
    const std::string name = api.OperationName(operation);
    const auto is_served = [&](int i) {
      const int32_t dtype = BaseType(api.OperationOutputType({operation, i}));
      return names.as_in_graph ? IsGraphPipeType(dtype) : WhyNotServed(dtype).empty();
    };
    if (type == "Placeholder") {
      const bool is_last = names.as_in_graph && !is_served(0);
      if (guess_inputs) AppendName(name, is_last ? last_inputs : names.inputs);
      continue;
    }
    if (!guess_outputs || type == "Const" || type == "Assert") continue;
    if (names.as_in_graph && type == "CheckNumerics") continue;
    const int count = api.OperationNumOutputs(operation);
    int consumers = 0;
    for (int i = 0; i < count; ++i) consumers += api.OperationOutputNumConsumers({operation, i});
    if (consumers > 0) continue;
    for (int i = 0; i < count; ++i) {
      if (is_served(i)) AppendName(i == 0 ? name : name + ":" + std::to_string(i), names.outputs);
    }
  }
  if (!last_inputs.empty()) AppendName(last_inputs, names.inputs);
}

// The tensors of `specs` as a list. A tensor that several specs name stands in it once.
std::string ListOf(const std::vector<plugin::TensorSpec>& specs, bool as_in_graph) {
  std::string list;
  for (auto spec = specs.begin(); spec != specs.end(); ++spec) {
    const bool is_twice = std::any_of(specs.begin(), spec, [&](const plugin::TensorSpec& other) {
      return other.backend_name == spec->backend_name;
    });
    // A name with one of these characters cannot stand in a list.
    const bool keeps_name = !as_in_graph && spec->name.find_first_of(",=") == std::string::npos;
    if (keeps_name) {
      AppendName(spec->name + "=" + spec->backend_name, list);
    } else if (!is_twice) {
      AppendName(spec->backend_name, list);
    }
  }
  return list;
}

}  // namespace

ModelSignatures ReadSignatures(const TfApi& api, TF_Graph* graph, std::string_view meta_graph) {
  ModelSignatures result;
  for (WireReader reader(meta_graph); reader.Next();) {
    if (reader.field() != kMetaGraphSignatureDef) continue;
    AppendBytesField(result.signature_def_map, kMapSignatureDef, reader.bytes());
    const MapEntry entry = ReadEntry(reader.bytes());
    // These two are entry points of TensorFlow's own loader and trainer, in the form of signatures.
    // GetModelMetadata still shows them, as TensorFlow Serving does.
    if (entry.key == "__saved_model_init_op" || entry.key == "__saved_model_train_op") continue;
    BoundSignature signature;
    const std::string reason = ReadSignature(api, graph, entry, signature);
    if (reason.empty()) {
      result.bound.push_back(std::move(signature));
    } else {
      plugin::LeftOut& left_out = result.left_out.emplace_back();
      left_out.signature = entry.key;
      left_out.reason = reason;
    }
  }
  std::sort(result.bound.begin(), result.bound.end(),
            [](const auto& a, const auto& b) { return a.signature.name < b.signature.name; });
  if (result.bound.empty()) {
    result.notes.emplace_back(
        result.left_out.empty()
            ? "the SavedModel has no signatures, so every request to it fails: export it with "
              "signatures"
            : "none of the SavedModel's signatures can be served, so every request to it fails: "
              "give them inputs and outputs of types that requests can carry");
  }
  return result;
}

bool CanRunTogether(const TfApi& api, const std::vector<BoundSignature>& signatures) {
  std::map<std::pair<TF_Operation*, int>, const plugin::TensorSpec*> fed_by;
  for (const BoundSignature& bound : signatures) {
    if (bound.feeds.size() != bound.feed_of.size()) return false;  // two inputs are one tensor
    for (size_t i = 0; i < bound.feed_of.size(); ++i) {
      const TF_Output& feed = bound.feeds[bound.feed_of[i]];
      // A placeholder computes nothing. Any other tensor could be one that another signature
      // computes: then one run with both signatures would give that other signature the fed value.
      if (std::string_view(api.OperationOpType(feed.oper)) != "Placeholder") return false;
      const plugin::TensorSpec& input = bound.signature.inputs[i];
      const auto [entry, is_new] = fed_by.try_emplace({feed.oper, feed.index}, &input);
      if (is_new) continue;
      // Each signature could have its own default for an omitted input, but one run has one value
      // for the tensor.
      if (entry->second->name != input.name || input.optional || entry->second->optional) {
        return false;
      }
    }
  }
  return signatures.size() > 1;
}

BoundSignature MakeSignature(const TfApi& api, TF_Graph* graph, GraphNames names) {
  Guess(api, graph, names);
  BoundSignature result;
  result.signature.method_name = "tensorflow/serving/predict";
  const auto add_all = [&](std::string_view option, std::string_view list,
                           std::vector<plugin::TensorSpec>& specs,
                           std::vector<TF_Output>& tensors) {
    while (!list.empty()) {
      const size_t comma = std::min(list.find(','), list.size());
      AddNamed(api, graph, list.substr(0, comma), names.as_in_graph, specs, tensors);
      const std::string& name = specs.back().name;
      if (std::any_of(specs.begin(), specs.end() - 1,
                      [&](const plugin::TensorSpec& other) { return other.name == name; })) {
        throw Error(PENSTOCK_INVALID_ARGUMENT, "the option \"" + std::string(option) + "\" has '" +
                                                   name + "', which is one of them already");
      }
      list.remove_prefix(std::min(comma + 1, list.size()));
    }
  };
  std::vector<TF_Output> input_tensors;
  add_all("inputs", names.inputs, result.signature.inputs, input_tensors);
  add_all("outputs", names.outputs, result.signature.outputs, result.outputs);
  add_all("more_outputs", names.more_outputs, result.signature.outputs, result.outputs);
  result.defaults.resize(input_tensors.size());
  BindInputs(api, graph, input_tensors, result);
  if (result.outputs.empty()) {
    throw Error(PENSTOCK_INVALID_ARGUMENT,
                "the graph has no output that nobody consumes; name them "
                "with the option \"outputs\"");
  }
  return result;
}

void ReplaceSignatures(const TfApi& api, TF_Graph* graph, GraphNames names,
                       ModelSignatures& signatures) {
  const std::vector<BoundSignature>& bound = signatures.bound;
  auto found = std::find_if(bound.begin(), bound.end(), [](const BoundSignature& each) {
    return each.signature.name == plugin::Signature().name;
  });
  if (found == bound.end()) found = bound.begin();
  if (found != bound.end()) {
    if (names.inputs.empty()) names.inputs = ListOf(found->signature.inputs, names.as_in_graph);
    if (names.outputs.empty()) names.outputs = ListOf(found->signature.outputs, names.as_in_graph);
  }
  BoundSignature made = MakeSignature(api, graph, std::move(names));
  signatures = {};
  signatures.bound.push_back(std::move(made));
}

}  // namespace penstock::tensorflow
