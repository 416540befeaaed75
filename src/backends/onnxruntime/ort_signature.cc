// SPDX-License-Identifier: Apache-2.0
// Reads what a session says of its inputs and outputs.
#include <set>
#include <span>
#include <string>
#include <utility>

#include "onnx_file.h"
#include "ort_model.h"

namespace penstock::onnxruntime {
namespace {

using plugin::Error;

// One input or output as the session tells it. One thread at a time.
struct Entry {
  plugin::TensorSpec spec;
  std::vector<std::string> symbols;  // name of each unknown dimension; may be empty
  bool is_tensor = false;
};

using Names = std::set<std::string, std::less<>>;
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

void ReadShape(const OrtApi& api, const OrtTensorTypeAndShapeInfo* info, const Names& scalars,
               Entry& entry) {
  size_t rank = 0;
  api.Check(api.GetDimensionsCount(info, &rank), "signature");
  entry.spec.shape.resize(rank);
  std::vector<const char*> symbols(rank, "");
  api.Check(api.GetDimensions(info, entry.spec.shape.data(), rank), "signature");
  api.Check(api.GetSymbolicDimensions(info, symbols.data(), rank), "signature");
  entry.symbols.assign(symbols.begin(), symbols.end());
  for (int64_t& size : entry.spec.shape) {
    if (size < 0) size = -1;
  }
  entry.spec.unknown_rank = rank == 0 && !scalars.contains(entry.spec.name);
  entry.spec.batch_axis = rank > 0 && entry.spec.shape[0] == -1 ? 0 : -1;
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
  if (kind != kOnnxTypeTensor) return entry;
  const OrtTensorTypeAndShapeInfo* info = nullptr;
  api.Check(api.CastTypeInfoToTensorInfo(raw, &info), "signature");
  int element = 0;
  api.Check(api.GetTensorElementType(info, &element), "signature");
  entry.spec.dtype = FromOrtType(element);
  entry.is_tensor = entry.spec.dtype != 0;
  ReadShape(api, info, scalars, entry);
  return entry;
}

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

}  // namespace

std::unique_ptr<OrtModel> MakeModel(const Runtime& runtime, SessionPtr session,
                                    const std::string& file) {
  const Names scalars = ReadScalars(file);
  const OrtApi& api = runtime.api;
  size_t input_count = 0;
  size_t output_count = 0;
  api.Check(api.SessionGetInputCount(session.get(), &input_count), "signature");
  api.Check(api.SessionGetOutputCount(session.get(), &output_count), "signature");
  plugin::Signature signature;
  signature.method_name = "tensorflow/serving/predict";  // what clients of the metadata look for
  std::vector<Entry> inputs;
  for (size_t i = 0; i < input_count; ++i) {
    Entry entry = ReadEntry(runtime, session.get(), i, api.SessionGetInputName,
                            api.SessionGetInputTypeInfo, scalars);
    if (!entry.is_tensor) {
      throw Error(PENSTOCK_UNIMPLEMENTED,
                  "the input '" + entry.spec.name + "' is not a tensor of a type that is carried");
    }
    signature.inputs.push_back(entry.spec);
    inputs.push_back(std::move(entry));
  }
  std::vector<ShapeRule> rules;
  for (size_t i = 0; i < output_count; ++i) {
    const Entry entry = ReadEntry(runtime, session.get(), i, api.SessionGetOutputName,
                                  api.SessionGetOutputTypeInfo, scalars);
    if (!entry.is_tensor) continue;  // a map or sequence, as scikit-learn's probabilities
    signature.outputs.push_back(entry.spec);
    rules.push_back(MakeRule(entry, inputs));
  }
  if (rules.empty()) {
    throw Error(PENSTOCK_UNIMPLEMENTED,
                "no output of the model is a tensor (maps and sequences are "
                "not carried; export without ZipMap)");
  }
  plugin::Description description;
  description.signatures.push_back(std::move(signature));
  return std::make_unique<OrtModel>(runtime, std::move(session), std::move(description),
                                    std::move(rules));
}

}  // namespace penstock::onnxruntime
