// SPDX-License-Identifier: Apache-2.0
// Makes the signature of a model from three lists of the session: inputs, initialisers that a
// request may override (they become optional inputs), and outputs. ONNX has no names for
// signatures, so there is one, serving_default.
//
// An output that cannot be served is left out with its reason, because the other outputs are still
// useful. A required input that cannot be served fails the load: no request could ever succeed.
//
// The runtime reports no dimensions both for a scalar and for a tensor of unknown rank.
// OnnxFile::scalars tells them apart.
#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "ort_model.h"

namespace penstock::onnxruntime {
namespace {

using plugin::Error;

// One input or output as the session describes it. One thread at a time.
struct Entry {
  plugin::TensorSpec spec;
  std::vector<std::string> symbols;  // name of each unknown dimension; may be empty
  std::string problem;               // why it cannot be served; empty if it can
};

using NameFunction = OrtStatus* (*)(const OrtSession*, size_t, OrtAllocator*, char**);
using TypeFunction = OrtStatus* (*)(const OrtSession*, size_t, OrtTypeInfo**);

std::string ReadName(const Runtime& runtime, const OrtSession* session, size_t index,
                     NameFunction function) {
  char* name = nullptr;
  runtime.api.Check(function(session, index, runtime.allocator, &name), "signature");
  std::string result = name;
  runtime.api.Check(runtime.api.AllocatorFree(runtime.allocator, name), "signature");
  return result;
}

std::string KindName(int kind) {
  switch (kind) {
    case kOnnxTypeSequence:
      return "a sequence";
    case kOnnxTypeMap:
      return "a map";
    case kOnnxTypeSparse:
      return "a sparse tensor";
    case kOnnxTypeOptional:
      return "an optional value";
    default:
      return "of an unknown kind";
  }
}

void ReadShape(const OrtApi& api, const OrtTensorTypeAndShapeInfo* info, const Names& scalars,
               Entry& entry) {
  size_t rank = 0;
  api.Check(api.GetDimensionsCount(info, &rank), "signature");
  entry.spec.shape.resize(rank);
  std::vector<const char*> symbols(rank, "");
  api.Check(api.GetDimensions(info, entry.spec.shape.data(), rank), "signature");
  api.Check(api.GetSymbolicDimensions(info, symbols.data(), rank), "signature");
  entry.symbols.assign(symbols.begin(), symbols.end());
  entry.spec.unknown_rank = rank == 0 && !scalars.contains(entry.spec.name);
  std::vector<std::string> names(rank);
  bool has_names = false;
  for (size_t axis = 0; axis < rank; ++axis) {
    int64_t& size = entry.spec.shape[axis];
    if (size >= 0) continue;
    size = -1;
    // The runtime invents names such as "unk__3" for dimensions that the file does not name.
    if (entry.symbols[axis].empty() || entry.symbols[axis].starts_with("unk__")) continue;
    names[axis] = entry.symbols[axis];
    has_names = true;
  }
  if (has_names) entry.spec.dimension_names = std::move(names);
}

// Dimension 0 counts rows if the file gives it the same name in all inputs and outputs. A dimension
// that is merely unknown may be anything, such as the length of a sound, and must not be batched.
void SetBatchAxis(plugin::Signature& signature) {
  std::vector<plugin::TensorSpec*> specs;
  for (plugin::TensorSpec& spec : signature.inputs) specs.push_back(&spec);
  for (plugin::TensorSpec& spec : signature.outputs) specs.push_back(&spec);
  const std::vector<std::string>& first = specs.front()->dimension_names;
  const bool is_same = std::all_of(specs.begin(), specs.end(), [&](const auto* spec) {
    const std::vector<std::string>& names = spec->dimension_names;
    return !names.empty() && !names[0].empty() && names[0] == first[0];
  });
  if (!is_same) return;
  for (plugin::TensorSpec* spec : specs) spec->batch_axis = 0;
}

// The labels of the output's last dimension. None if their number does not fit: wrong labels are
// worse than none.
std::vector<std::string> ClassLabels(const OnnxFile& file, const plugin::TensorSpec& output) {
  const auto found = file.class_labels.find(output.name);
  if (found == file.class_labels.end() || output.shape.empty()) return {};
  const int64_t size = output.shape.back();
  const bool fits = size == -1 || size == static_cast<int64_t>(found->second.size());
  return fits ? found->second : std::vector<std::string>();
}

Entry ReadEntry(const Runtime& runtime, const OrtSession* session, size_t index,
                NameFunction name_function, TypeFunction type_function, const Names& scalars) {
  const OrtApi& api = runtime.api;
  Entry entry;
  entry.spec.name = ReadName(runtime, session, index, name_function);
  entry.spec.backend_name = entry.spec.name;
  OrtTypeInfo* raw = nullptr;
  api.Check(type_function(session, index, &raw), "signature");
  const TypeInfoPtr type(raw, {&api});
  int kind = 0;
  api.Check(api.GetOnnxTypeFromTypeInfo(raw, &kind), "signature");
  if (kind != kOnnxTypeTensor) {
    entry.problem = "it is " + KindName(kind) + ", and only tensors are served";
    return entry;
  }
  const OrtTensorTypeAndShapeInfo* info = nullptr;
  api.Check(api.CastTypeInfoToTensorInfo(raw, &info), "signature");
  int element = 0;
  api.Check(api.GetTensorElementType(info, &element), "signature");
  entry.spec.dtype = FromOrtType(element);
  if (entry.spec.dtype == 0) {
    entry.problem = "its element type (number " + std::to_string(element) +
                    " of ONNX) is not one that requests can carry";
  }
  ReadShape(api, info, scalars, entry);
  return entry;
}

// Derives the output's shape from fixed sizes and from symbols that an input has, too. If a symbol
// stands in several inputs, the first one is taken: the model requires all of them to be equal.
ShapeRule MakeRule(const Entry& output, std::span<const Entry> inputs) {
  ShapeRule rule;
  rule.known = !output.spec.unknown_rank && output.spec.dtype != PENSTOCK_STRING;
  for (size_t axis = 0; axis < output.spec.shape.size(); ++axis) {
    DimSource source{output.spec.shape[axis], -1, 0};
    for (size_t i = 0; source.size < 0 && source.input < 0 && i < inputs.size(); ++i) {
      for (size_t k = 0; k < inputs[i].symbols.size(); ++k) {
        if (output.symbols[axis].empty() || inputs[i].symbols[k] != output.symbols[axis]) continue;
        source.input = static_cast<int>(i);
        source.axis = static_cast<uint32_t>(k);
        break;
      }
    }
    if (source.size < 0 && source.input < 0) rule.known = false;
    rule.dims.push_back(source);
  }
  return rule;
}

// The functions that read one of the three lists.
struct Reader {
  OrtStatus* (*count)(const OrtSession*, size_t*);
  NameFunction name;
  TypeFunction type;
};

std::vector<Entry> ReadEntries(const Runtime& runtime, const OrtSession* session,
                               const Names& scalars, const Reader& reader) {
  size_t count = 0;
  runtime.api.Check(reader.count(session, &count), "signature");
  std::vector<Entry> entries;
  for (size_t i = 0; i < count; ++i) {
    entries.push_back(ReadEntry(runtime, session, i, reader.name, reader.type, scalars));
  }
  return entries;
}

// Throws Error if a required input has a problem. Names all such inputs, so that the author of the
// model can mend them at once.
void CheckInputs(const std::vector<Entry>& inputs) {
  std::string text;
  for (const Entry& input : inputs) {
    if (input.problem.empty()) continue;
    text += (text.empty() ? "" : "; ") + ("'" + input.spec.name + "': ") + input.problem;
  }
  if (text.empty()) return;
  throw Error(PENSTOCK_UNIMPLEMENTED, "the model needs inputs that cannot be served: " + text);
}

// Joins texts for a note. It shows only the first ones if there are very many.
std::string Join(const std::vector<std::string>& texts) {
  constexpr size_t kBytesMax = 16 * 1024;
  std::string joined;
  for (const std::string& text : texts) {
    if (!joined.empty()) joined += ", ";
    if (joined.size() + text.size() > kBytesMax) return joined + "...";
    joined += text;
  }
  return joined;
}

void AddNotes(const OnnxFile& file, plugin::Description& description) {
  for (const plugin::TensorSpec& input : description.signatures.front().inputs) {
    if (!input.unknown_rank) continue;
    description.notes.push_back("input '" + input.name +
                                "' declares no rank: ONNX Runtime may end the process for shapes "
                                "that an operator does not expect; see SECURITY.md");
  }
  for (const std::string& name : file.constant_inputs) {
    plugin::LeftOut each;
    each.name = name;
    each.reason =
        "it has an initialiser, which is a constant before version 4 of ONNX's format; export with "
        "version 4 or later to make it an input that may be left out";
    description.left_out.push_back(std::move(each));
  }
  for (const ZipMap& map : file.zip_maps) {
    description.notes.push_back("the output '" + map.output +
                                "' is served as a matrix of probabilities instead of a sequence of "
                                "maps; its columns are the classes " +
                                Join(map.labels));
  }
}

}  // namespace

std::unique_ptr<OrtModel> MakeModel(const Runtime& runtime, SessionPtr session,
                                    const OnnxFile& file, SharedTables tables) {
  const OrtApi& api = runtime.api;
  const auto read = [&](const Reader& reader) {
    return ReadEntries(runtime, session.get(), file.scalars, reader);
  };
  std::vector<Entry> inputs =
      read({api.SessionGetInputCount, api.SessionGetInputName, api.SessionGetInputTypeInfo});
  CheckInputs(inputs);
  for (Entry& entry :
       read({api.SessionGetOverridableInitializerCount, api.SessionGetOverridableInitializerName,
             api.SessionGetOverridableInitializerTypeInfo})) {
    entry.spec.optional = true;
    const auto value = file.defaults.find(entry.spec.name);
    const bool is_known = value != file.defaults.end() && value->second.dtype == entry.spec.dtype;
    if (is_known) entry.spec.default_value = value->second;
    if (entry.problem.empty()) inputs.push_back(std::move(entry));
  }
  plugin::Description description;
  plugin::Signature& signature = description.signatures.emplace_back();
  signature.method_name = "tensorflow/serving/predict";  // what clients of the metadata look for
  for (const Entry& input : inputs) signature.inputs.push_back(input.spec);
  std::vector<ShapeRule> rules;
  std::string problems;
  for (const Entry& entry :
       read({api.SessionGetOutputCount, api.SessionGetOutputName, api.SessionGetOutputTypeInfo})) {
    if (!entry.problem.empty()) {
      problems += "; '" + entry.spec.name + "': " + entry.problem;
      description.left_out.push_back({signature.name, entry.spec.name, entry.problem});
      continue;
    }
    signature.outputs.push_back(entry.spec);
    signature.outputs.back().class_labels = ClassLabels(file, entry.spec);
    rules.push_back(MakeRule(entry, inputs));
  }
  if (rules.empty()) {
    throw Error(PENSTOCK_UNIMPLEMENTED, "no output of the model can be served" + problems);
  }
  description.flags = file.flags;
  if (!file.is_cntk) SetBatchAxis(signature);
  AddNotes(file, description);
  return std::make_unique<OrtModel>(runtime, std::move(session), std::move(description),
                                    std::move(rules), std::move(tables));
}

}  // namespace penstock::onnxruntime
