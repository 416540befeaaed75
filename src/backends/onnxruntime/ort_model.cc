// SPDX-License-Identifier: Apache-2.0
// How a request runs. ONNX Runtime wants arrays of names and values; a Call holds them. Inputs are
// views of the request's memory, so only strings are copied.
//
// Outputs are the hard part. ONNX Runtime can write an output into memory of the caller, which
// saves a copy, but then the caller must know the shape before the run. ShapeRule derives it from
// the declared symbols. A model may declare symbols that its operators do not keep, so the rules
// are not trusted at first: an early run leaves the outputs to the runtime, and Learn compares.
// Later runs place their outputs in the host's memory. If such a run fails, the request or the rule
// may be wrong, so it runs once more without placed outputs. If that succeeds, the rule was wrong,
// and the model never uses the rules again.
#include "ort_model.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

namespace penstock::onnxruntime {

using plugin::Error;

namespace {

// The sizes of one output. Few of them lie inside the object, so that a run needs no heap for them.
// One thread at a time.
class Sizes final {
 public:
  void Resize(size_t rank) {
    rank_ = rank;
    if (rank > kInline) heap_ = std::make_unique<int64_t[]>(rank);
  }
  size_t rank() const { return rank_; }
  int64_t* data() { return heap_ != nullptr ? heap_.get() : inline_.data(); }
  std::span<int64_t> all() { return {data(), rank_}; }

 private:
  static constexpr size_t kInline = 8;
  size_t rank_ = 0;
  std::array<int64_t, kInline> inline_{};
  std::unique_ptr<int64_t[]> heap_;
};

// Sets `bytes` to the size of all elements. False if that overflows, a size is unknown, or the type
// has no fixed size.
bool ArrayBytes(int32_t dtype, std::span<const int64_t> sizes, uint64_t& bytes) {
  bytes = ElementBytes(dtype);
  if (bytes == 0) return false;
  for (const int64_t size : sizes) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes))
      return false;
  }
  return true;
}

// The size of one output dimension by its rule, or -1 if the request omits the input that the rule
// needs.
int64_t SizeOf(const DimSource& source, std::span<const PenstockNamedTensor> inputs) {
  if (source.input < 0) return source.size;
  for (const PenstockNamedTensor& input : inputs) {
    if (input.index == static_cast<uint32_t>(source.input) && source.axis < input.tensor.rank) {
      return input.tensor.shape[source.axis];
    }
  }
  return -1;
}

// The memory of a string output: elements and their characters. One thread at a time.
struct StringBlock {
  std::unique_ptr<PenstockString[]> elements;
  std::unique_ptr<char[]> characters;
};

}  // namespace

// The arrays that the runtime wants for one run, and what they own. One thread at a time.
struct OrtModel::Call {
  Call(const OrtApi& ort, plugin::Request& run)
      : api(ort),
        request(run),
        input_names(run.inputs().size()),
        inputs(run.inputs().size()),
        output_names(run.outputs().size()),
        outputs(run.outputs().size()),
        sizes(run.outputs().size()),
        results(run.outputs().size()) {}
  ~Call() {
    for (OrtValue* value : inputs) {
      if (value != nullptr) api.ReleaseValue(value);
    }
    for (size_t i = 0; i < outputs.size(); ++i) DropOutput(i);
  }

  // Forgets output `i`: its value, and its memory unless the host has taken that over.
  void DropOutput(size_t i) {
    if (outputs[i] != nullptr) api.ReleaseValue(std::exchange(outputs[i], nullptr));
    const PenstockOwner owner = std::exchange(results[i].tensor.owner, {});
    if (owner.calls != nullptr) owner.calls->release(owner.object);
  }
  bool IsPlaced(size_t i) { return results[i].tensor.owner.calls != nullptr; }

  const OrtApi& api;
  plugin::Request& request;
  plugin::SmallArray<const char*> input_names;
  plugin::SmallArray<OrtValue*> inputs;
  plugin::SmallArray<const char*> output_names;
  plugin::SmallArray<OrtValue*> outputs;
  plugin::SmallArray<Sizes, 4> sizes;  // of the outputs
  plugin::SmallArray<PenstockNamedTensor, 4> results;
  RunOptionsPtr options;
  bool any_placed = false;
};

OrtModel::OrtModel(const Runtime& runtime, SessionPtr session, plugin::Description description,
                   std::vector<ShapeRule> rules, SharedTables tables)
    : Model(std::move(description)),
      runtime_(runtime),
      tables_(std::move(tables)),
      session_(std::move(session)),
      rules_(std::move(rules)) {}

void OrtModel::Run(plugin::Request&& request) {
  Call call(runtime_.api, request);
  Bind(call);
  RunPlaced(call);
  for (size_t i = 0; i < call.outputs.size(); ++i) Collect(call, i);
  request.Finish({call.results.data(), call.results.size()});
  // The host owns the results now, so the destructor of the call must not release them.
  for (PenstockNamedTensor& given : call.results) given.tensor.owner = {};
}

void OrtModel::Bind(Call& call) {
  const plugin::Signature& signature = description().signatures.front();
  const auto inputs = call.request.inputs();
  for (size_t i = 0; i < inputs.size(); ++i) {
    call.input_names[i] = signature.inputs[inputs[i].index].name.c_str();
    call.inputs[i] = MakeInput(inputs[i].tensor).release();
  }
  const auto outputs = call.request.outputs();
  for (size_t i = 0; i < outputs.size(); ++i) {
    call.output_names[i] = signature.outputs[outputs[i].index].name.c_str();
    call.results[i].index = outputs[i].index;
  }
}

ValuePtr OrtModel::MakeInput(const PenstockTensor& tensor) const {
  if (tensor.dtype == PENSTOCK_STRING) return MakeStringInput(tensor);
  OrtValue* value = nullptr;
  // The runtime does not write into inputs, whatever the parameter's type says.
  runtime_.api.Check(runtime_.api.CreateTensorWithDataAsOrtValue(
                         runtime_.memory.get(), const_cast<void*>(tensor.data), tensor.bytes,
                         tensor.shape, tensor.rank, ToOrtType(tensor.dtype), &value),
                     "input");
  return ValuePtr(value, {&runtime_.api});
}

ValuePtr OrtModel::MakeStringInput(const PenstockTensor& tensor) const {
  const OrtApi& api = runtime_.api;
  OrtValue* raw = nullptr;
  api.Check(
      api.CreateTensorAsOrtValue(runtime_.allocator, tensor.shape, tensor.rank, kOrtString, &raw),
      "input");
  ValuePtr value(raw, {&api});
  const std::span strings(static_cast<const PenstockString*>(tensor.data),
                          tensor.bytes / sizeof(PenstockString));
  for (size_t i = 0; i < strings.size(); ++i) {
    // A new element is an empty string already.
    if (strings[i].size == 0) continue;
    char* to = nullptr;
    api.Check(api.GetResizedStringTensorElementBuffer(value.get(), i, strings[i].size, &to),
              "input");
    std::memcpy(to, strings[i].data, strings[i].size);
  }
  return value;
}

void OrtModel::PlaceOutput(Call& call, size_t position) const {
  PenstockNamedTensor& result = call.results[position];
  const ShapeRule& rule = rules_[result.index];
  if (!rule.known) return;
  const int32_t dtype = description().signatures.front().outputs[result.index].dtype;
  Sizes& sizes = call.sizes[position];
  sizes.Resize(rule.dims.size());
  for (size_t axis = 0; axis < rule.dims.size(); ++axis) {
    sizes.all()[axis] = SizeOf(rule.dims[axis], call.request.inputs());
  }
  uint64_t bytes = 0;
  if (!ArrayBytes(dtype, sizes.all(), bytes)) return;
  PenstockRequest* const raw = call.request.raw();
  void* const data = raw->allocate_output(raw, result.index, bytes, &result.tensor.owner);
  if (data == nullptr) return;
  result.tensor.data = data;
  call.any_placed = true;
  runtime_.api.Check(runtime_.api.CreateTensorWithDataAsOrtValue(
                         runtime_.memory.get(), data, bytes, sizes.data(), sizes.rank(),
                         ToOrtType(dtype), &call.outputs[position]),
                     "output");
}

OrtStatus* OrtModel::RunSession(Call& call) const {
  return runtime_.api.Run(session_.get(), call.options.get(), call.input_names.data(),
                          call.inputs.data(), call.inputs.size(), call.output_names.data(),
                          call.output_names.size(), call.outputs.data());
}

// Runs the session so that a cancel or a deadline stops it. The callback may come on another thread
// until the host has the last part of the answer. The call lives longer than that, so the
// callback's argument stays valid.
void OrtModel::RunStoppable(Call& call) const {
  if (call.options == nullptr) {
    OrtRunOptions* options = nullptr;
    runtime_.api.Check(runtime_.api.CreateRunOptions(&options), "run options");
    call.options = RunOptionsPtr(options, {&runtime_.api});
    PenstockRequest* const raw = call.request.raw();
    raw->on_stop(
        raw,
        [](void* argument) {
          auto* const stopped = static_cast<Call*>(argument);
          OrtStatus* const status = stopped->api.RunOptionsSetTerminate(stopped->options.get());
          if (status != nullptr) stopped->api.ReleaseStatus(status);
        },
        &call);
  }
  OrtStatus* const status = RunSession(call);
  if (status == nullptr) return;
  // A stopped run fails with the runtime's general error. Only the request knows whether that came
  // from a stop.
  const int32_t reason = call.request.stop_reason();
  if (reason != PENSTOCK_OK) {
    runtime_.api.ReleaseStatus(status);
    throw Error(reason, reason == PENSTOCK_CANCELLED ? "cancelled during the run"
                                                     : "the deadline passed during the run");
  }
  runtime_.api.Check(status, "ONNX Runtime");
}

void OrtModel::RunPlaced(Call& call) {
  if (trust_.load(std::memory_order_relaxed) == Trust::kProved) {
    for (size_t i = 0; i < call.outputs.size(); ++i) PlaceOutput(call, i);
  }
  if (!call.any_placed) {
    RunStoppable(call);
    return;
  }
  try {
    RunStoppable(call);
  } catch (const Error& error) {
    if (error.code() == PENSTOCK_CANCELLED || error.code() == PENSTOCK_DEADLINE_EXCEEDED) throw;
    // Either the request is bad, or the rule is wrong: ONNX Runtime refuses to write an output into
    // memory of another shape. A run without placed outputs tells which: for a bad request it
    // throws here, and the rules stay in use.
    for (size_t i = 0; i < call.outputs.size(); ++i) call.DropOutput(i);
    RunStoppable(call);
    trust_.store(Trust::kRefuted);
  }
}

void OrtModel::Collect(Call& call, size_t position) {
  PenstockNamedTensor& result = call.results[position];
  Sizes& sizes = call.sizes[position];
  PenstockTensor& tensor = result.tensor;
  tensor.dtype = description().signatures.front().outputs[result.index].dtype;
  if (call.IsPlaced(position)) {
    ArrayBytes(tensor.dtype, sizes.all(), tensor.bytes);
  } else {
    const OrtApi& api = runtime_.api;
    OrtTensorTypeAndShapeInfo* raw = nullptr;
    api.Check(api.GetTensorTypeAndShape(call.outputs[position], &raw), "output");
    const ShapeInfoPtr info(raw, {&api});
    size_t rank = 0;
    api.Check(api.GetDimensionsCount(raw, &rank), "output");
    sizes.Resize(rank);
    api.Check(api.GetDimensions(raw, sizes.data(), rank), "output");
    if (tensor.dtype == PENSTOCK_STRING) {
      CollectStrings(call, position);
    } else {
      ArrayBytes(tensor.dtype, sizes.all(), tensor.bytes);
      void* data = nullptr;
      api.Check(api.GetTensorMutableData(call.outputs[position], &data), "output");
      tensor.data = data;
      tensor.owner =
          plugin::MakeOwner(ValuePtr(std::exchange(call.outputs[position], nullptr), {&api}));
    }
    Learn(call, position);
  }
  tensor.rank = static_cast<uint32_t>(sizes.rank());
  tensor.shape = sizes.data();
}

void OrtModel::CollectStrings(Call& call, size_t position) const {
  const OrtApi& api = runtime_.api;
  OrtValue* const value = call.outputs[position];
  size_t count = 1;
  for (const int64_t size : call.sizes[position].all()) count *= static_cast<size_t>(size);
  size_t bytes = 0;
  api.Check(api.GetStringTensorDataLength(value, &bytes), "output");
  StringBlock block{std::make_unique<PenstockString[]>(count), std::make_unique<char[]>(bytes)};
  const auto offsets = std::make_unique<size_t[]>(count);
  if (count > 0) {
    api.Check(
        api.GetStringTensorContent(value, block.characters.get(), bytes, offsets.get(), count),
        "output");
  }
  for (size_t i = 0; i < count; ++i) {
    // The runtime gives one block of characters and where each string starts. A string ends where
    // the next one starts.
    const size_t end = i + 1 < count ? offsets[i + 1] : bytes;
    block.elements[i] = {block.characters.get() + offsets[i], end - offsets[i]};
  }
  PenstockTensor& tensor = call.results[position].tensor;
  tensor.data = block.elements.get();
  tensor.bytes = count * sizeof(PenstockString);
  tensor.owner = plugin::MakeOwner(std::move(block));
}

void OrtModel::Learn(Call& call, size_t position) {
  if (trust_.load(std::memory_order_relaxed) != Trust::kUnproved) return;
  const ShapeRule& rule = rules_[call.results[position].index];
  if (!rule.known) return;
  bool fits = rule.dims.size() == call.sizes[position].rank();
  for (size_t axis = 0; fits && axis < rule.dims.size(); ++axis) {
    fits = SizeOf(rule.dims[axis], call.request.inputs()) == call.sizes[position].all()[axis];
  }
  trust_.store(fits ? Trust::kProved : Trust::kRefuted);
}

}  // namespace penstock::onnxruntime
