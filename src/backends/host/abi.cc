// SPDX-License-Identifier: Apache-2.0
// Two rules shape this file.
//
// A backend is code that others wrote. Its structs come over a C interface, without types that a
// compiler could check, and its mistakes must not crash the server. So everything it gives is
// checked here, once, when a model loads or a run answers, and later code trusts the result. A
// mistake of the backend is INTERNAL, never INVALID_ARGUMENT: the client cannot do anything about
// it.
//
// Tensors are not copied. Both sides count references through PenstockOwner. Whoever receives a
// tensor takes over its owners, also if the tensor turns out to be invalid; otherwise its memory
// would leak.
#include "backends/host/abi.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <numeric>
#include <utility>

#include "base/utf8.h"

namespace penstock::abi {
namespace {

// A string tensor passes without a copy because both sides lay out its elements alike.
static_assert(sizeof(StringElement) == sizeof(PenstockString));
static_assert(offsetof(StringElement, data) == offsetof(PenstockString, data));
static_assert(offsetof(StringElement, size) == offsetof(PenstockString, size));

void KeepBuffer(void* object) { static_cast<Buffer*>(object)->Ref(); }
void ReleaseBuffer(void* object) { static_cast<Buffer*>(object)->Unref(); }
constexpr PenstockOwnerCalls kBufferCalls = {KeepBuffer, ReleaseBuffer};

// The owner of bytes that live as long as the process.
constexpr PenstockOwnerCalls kStaticCalls = {[](void*) {}, [](void*) {}};

// The data of empty tensors, which must not be null.
alignas(kBufferAlignment) constexpr std::byte kNothing[kBufferAlignment] = {};

// Memory that a backend owns. Thread-safe as any Buffer.
class ForeignBuffer final : public Buffer {
 public:
  // Takes over one reference of `owner`.
  ForeignBuffer(const void* data, size_t size, const PenstockOwner& owner)
      : Buffer(static_cast<std::byte*>(const_cast<void*>(data)), size), owner_(owner) {}

 private:
  ~ForeignBuffer() override { owner_.calls->release(owner_.object); }
  const PenstockOwner owner_;
};

// Converts the owner's reference to one of ours; empty if there is no owner. If the owner is one of
// our buffers, it is used directly.
BufferRef Adopt(const void* data, size_t size, const PenstockOwner& owner) {
  if (owner.calls == nullptr) return {};
  if (owner.calls == &kBufferCalls) {
    BufferRef ours(static_cast<Buffer*>(owner.object));
    // The backend may return a part of a buffer that it got from us, such as one row of an input.
    // Then a view keeps the whole buffer.
    if (ours->data() == data && ours->size() == size) return ours;
    return BufferRef(new ForeignBuffer(data, size, {ours.Release(), owner.calls}));
  }
  return BufferRef(new ForeignBuffer(data, size, owner));
}

StatusOr<Tensor> StringsFromC(Shape shape, const PenstockTensor& tensor, BufferRef array,
                              BufferRef characters) {
  const std::span<const StringElement> elements(static_cast<const StringElement*>(tensor.data),
                                                tensor.bytes / sizeof(StringElement));
  size_t total = 0;
  for (const StringElement& element : elements) {
    if (element.data == nullptr && element.size != 0) {
      return absl::InternalError("a string element has a size but no data");
    }
    total += element.size;
  }
  // Without an owner the memory is the backend's own, and valid only until the current call
  // returns.
  if (!array) {
    RequestMemory memory(UINT64_MAX);
    ASSIGN_OR_RETURN(array, memory.Allocate(tensor.bytes));
    ASSIGN_OR_RETURN(characters, memory.Allocate(total));
    auto* to = reinterpret_cast<StringElement*>(array->data());
    char* at = reinterpret_cast<char*>(characters->data());
    for (const StringElement& element : elements) {
      *to++ = {at, element.size};
      if (element.size != 0) std::memcpy(at, element.data, element.size);
      at += element.size;
    }
  }
  return Tensor::FromStrings(std::move(shape), std::move(array), std::move(characters));
}

StatusOr<Tensor> TensorFromC(const PenstockTensor& tensor, BufferRef elements,
                             BufferRef characters) {
  const std::optional<DType> dtype = DTypeFromTensorFlow(tensor.dtype);
  if (!dtype) return Error(StatusCode::kInternal, "unknown element type {}", tensor.dtype);
  if (tensor.rank > kRankMax || (tensor.rank > 0 && tensor.shape == nullptr)) {
    return Error(StatusCode::kInternal, "rank {} without a shape or over {}", tensor.rank,
                 kRankMax);
  }
  if (tensor.data == nullptr && tensor.bytes > 0) return absl::InternalError("no data");
  Shape shape(std::span<const int64_t>(tensor.shape, tensor.rank));
  if (*dtype == DType::kString) {
    return StringsFromC(std::move(shape), tensor, std::move(elements), std::move(characters));
  }
  Slice slice{static_cast<const std::byte*>(tensor.data), tensor.bytes, std::move(elements)};
  if (!slice.owner) {
    slice = WholeSlice(CopyToBuffer({static_cast<const char*>(tensor.data), tensor.bytes}));
  }
  return Tensor::FromBytes(*dtype, std::move(shape), std::move(slice));
}

// Returns a copy of a struct of the backend. A backend that was built with an older header has a
// shorter struct: the members that it does not know are zero, which means "no". INTERNAL if it
// lacks members that every backend knows: those before the offset `required`.
template <typename T>
StatusOr<T> ReadStruct(const T* from, size_t required, std::string_view what) {
  if (from == nullptr || from->struct_size < required) {
    return Error(StatusCode::kInternal,
                 "the backend describes {} by a struct of {} bytes; {} are needed", what,
                 from == nullptr ? 0 : from->struct_size, required);
  }
  T result{};
  std::memcpy(&result, from, std::min(from->struct_size, sizeof(T)));
  return result;
}

using Specs = std::vector<PenstockTensorSpec>;

StatusOr<Specs> ReadSpecs(const PenstockTensorSpec* const* specs, size_t count) {
  Specs result;
  for (const PenstockTensorSpec* const each : std::span(specs, count)) {
    ASSIGN_OR_RETURN(result.emplace_back(),
                     ReadStruct(each, offsetof(PenstockTensorSpec, default_value), "a tensor"));
  }
  return result;
}

// Returns the positions of `specs`, sorted by name: that is the order of our lists.
std::vector<uint32_t> SortedOrder(const Specs& specs) {
  std::vector<uint32_t> order(specs.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return View(specs[a].name) < View(specs[b].name); });
  return order;
}

// Reads texts that only people read. Bytes that are not UTF-8 are replaced, because the texts go
// into JSON and protobuf. Names that clients send must be UTF-8 exactly.
std::vector<std::string> TextsFromC(const PenstockString* texts, size_t count) {
  std::vector<std::string> result;
  for (const PenstockString& text : std::span(texts, count)) result.push_back(ToUtf8(View(text)));
  return result;
}

Status ReadDefault(const PenstockTensorSpec& spec, TensorSpec& result) {
  if (spec.default_value == nullptr) return OkStatus();
  // Without an owner, so that the value is copied.
  StatusOr<Tensor> tensor = TensorFromC(*spec.default_value, {}, {});
  if (!tensor.ok()) {
    return Error(StatusCode::kInternal, "'{}' has a bad default value: {}", result.name,
                 MessageOf(tensor.status()));
  }
  if (!result.optional || tensor->dtype() != result.dtype) {
    return Error(StatusCode::kInternal,
                 "'{}' has a default value of type {}, but is {} input of type {}", result.name,
                 DTypeName(tensor->dtype()), result.optional ? "an" : "no optional",
                 DTypeName(result.dtype));
  }
  result.default_value = *std::move(tensor);
  return OkStatus();
}

// Reads the part of a sparse or ragged value that a tensor is.
Status ReadPart(const PenstockTensorSpec& spec, TensorSpec& result) {
  if (spec.part > PENSTOCK_PART_RAGGED_SPLITS) {
    return Error(StatusCode::kInternal, "'{}' is a part of an unknown kind: {}", result.name,
                 spec.part);
  }
  result.part = {static_cast<CompositePart::Role>(spec.part), ToUtf8(View(spec.composite)),
                 spec.ragged_level};
  return OkStatus();
}

StatusOr<TensorSpec> SpecFromC(const PenstockTensorSpec& spec) {
  const std::optional<DType> dtype = DTypeFromTensorFlow(spec.dtype);
  TensorSpec result;
  result.name = View(spec.name);
  if (!dtype) {
    return Error(StatusCode::kInternal, "'{}' has the unknown element type {}", result.name,
                 spec.dtype);
  }
  if (spec.rank > kRankMax || (spec.rank > 0 && spec.shape == nullptr)) {
    return Error(StatusCode::kInternal, "'{}' has an impossible rank: {}", result.name, spec.rank);
  }
  result.backend_name = View(spec.backend_name);
  if (!IsUtf8(View(spec.name)) || !IsUtf8(View(spec.backend_name))) {
    return Error(StatusCode::kInternal, "the name '{}' is not UTF-8", ToUtf8(result.name));
  }
  result.dtype = *dtype;
  result.optional = (spec.flags & PENSTOCK_SPEC_OPTIONAL) != 0;
  result.unknown_rank = (spec.flags & PENSTOCK_SPEC_UNKNOWN_RANK) != 0;
  if (!result.unknown_rank) result.shape = Shape(std::span(spec.shape, spec.rank));
  for (const int64_t size : result.shape.dims()) {
    if (size < -1) {
      return Error(StatusCode::kInternal, "'{}' has an impossible shape: {}", result.name,
                   result.shape.ToString());
    }
  }
  result.batch_axis = spec.batch_axis;
  if (result.batch_axis < -1 || result.batch_axis >= static_cast<int>(result.shape.rank())) {
    return Error(StatusCode::kInternal, "'{}' has the batch axis {}, but the shape {}", result.name,
                 result.batch_axis, result.shape.ToString());
  }
  if (spec.dimension_names != nullptr) {
    result.dimension_names = TextsFromC(spec.dimension_names, result.shape.rank());
  }
  result.class_labels = TextsFromC(spec.class_labels, spec.class_label_count);
  TRY(ReadPart(spec, result));
  TRY(ReadDefault(spec, result));
  return result;
}

Status AppendSpecs(const Specs& specs, std::span<const uint32_t> order,
                   std::vector<TensorSpec>& to) {
  for (const uint32_t index : order) {
    ASSIGN_OR_RETURN(TensorSpec spec, SpecFromC(specs[index]));
    spec.place = index;
    if (!to.empty() && to.back().name == spec.name) {
      return Error(StatusCode::kInternal, "the name '{}' stands twice", spec.name);
    }
    to.push_back(std::move(spec));
  }
  return OkStatus();
}

// Adds an entry to the left-out list. Also keeps the reason for requests that name a whole
// signature.
void AddLeftOut(const PenstockLeftOut& each, ModelInfo& info) {
  const std::string signature = ToUtf8(View(each.signature));
  std::string reason = ToUtf8(View(each.reason));
  // The log has no other line about what is left out, so it becomes a note. For a single input or
  // output, AppendSignature also keeps the reason with its signature.
  if (View(each.name).empty()) {
    info.notes.push_back(
        fmt::format("the signature '{}' cannot be served and is left out: {}", signature, reason));
    info.left_out.push_back({signature, std::move(reason)});
    return;
  }
  info.notes.push_back(fmt::format("{} of the signature {} is left out: {}",
                                   ToUtf8(View(each.name)), signature, reason));
}

ModelTraits TraitsFromC(uint32_t flags) {
  ModelTraits traits;
  traits.may_block = (flags & PENSTOCK_MAY_BLOCK) != 0;
  traits.has_state = (flags & PENSTOCK_HAS_STATE) != 0;
  traits.not_deterministic = (flags & PENSTOCK_NOT_DETERMINISTIC) != 0;
  traits.has_side_effects = (flags & PENSTOCK_SIDE_EFFECTS) != 0;
  traits.any_signature = (flags & PENSTOCK_ANY_SIGNATURE) != 0;
  traits.deadline_needs_pool = (flags & PENSTOCK_DEADLINE_NEEDS_POOL) != 0;
  traits.any_shape = (flags & PENSTOCK_ANY_SHAPE) != 0;
  traits.several_signatures = (flags & PENSTOCK_SEVERAL_SIGNATURES) != 0;
  return traits;
}

// Adds a signature of `info` to `result`.
Status AppendSignature(const PenstockSignature& theirs, const PenstockModelInfo& info,
                       Description& result) {
  if (!IsUtf8(View(theirs.name)) || !IsUtf8(View(theirs.method_name))) {
    return Error(StatusCode::kInternal, "the signature '{}' has a name that is not UTF-8",
                 ToUtf8(View(theirs.name)));
  }
  if (result.info.FindSignature(View(theirs.name)) != nullptr) {
    return Error(StatusCode::kInternal, "the signature '{}' stands twice", View(theirs.name));
  }
  ASSIGN_OR_RETURN(const Specs inputs, ReadSpecs(theirs.inputs, theirs.input_count));
  ASSIGN_OR_RETURN(const Specs outputs, ReadSpecs(theirs.outputs, theirs.output_count));
  Description::Order order{SortedOrder(inputs), SortedOrder(outputs), {}};
  order.our_outputs.resize(outputs.size());
  for (uint32_t i = 0; i < outputs.size(); ++i) order.our_outputs[order.outputs[i]] = i;
  Signature& ours = result.info.signatures.emplace_back();
  ours.name = View(theirs.name);
  ours.method_name = View(theirs.method_name);
  TRY(AppendSpecs(inputs, order.inputs, ours.inputs));
  TRY(AppendSpecs(outputs, order.outputs, ours.outputs));
  for (const PenstockLeftOut& each : std::span(info.left_out, info.left_out_count)) {
    if (View(each.signature) != ours.name) continue;
    ours.left_out.push_back({std::string(View(each.name)), ToUtf8(View(each.reason))});
  }
  result.orders.push_back(std::move(order));
  return OkStatus();
}

}  // namespace

PenstockOwner OwnerOf(Buffer* buffer) {
  // A tensor without elements may have no buffer. The ABI wants an owner all the same: without one,
  // a backend would have to copy.
  if (buffer == nullptr) return {nullptr, &kStaticCalls};
  return {buffer, &kBufferCalls};
}

void* Allocate(size_t bytes, PenstockOwner& owner) {
  try {
    BufferRef buffer = AllocateBuffer(bytes);
    void* const data = buffer->data();
    owner = OwnerOf(buffer.Release());
    return data;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void Release(const PenstockOwner& owner) {
  if (owner.calls != nullptr) owner.calls->release(owner.object);
}

PenstockTensor ToC(const Tensor& tensor) {
  const Slice& elements = tensor.elements();
  PenstockTensor result{};
  result.dtype = static_cast<int32_t>(tensor.dtype());
  result.rank = static_cast<uint32_t>(tensor.shape().rank());
  result.shape = tensor.shape().dims().data();
  result.data = elements.data != nullptr ? elements.data : kNothing;
  result.bytes = elements.size;
  result.owner = OwnerOf(elements.owner.get());
  if (tensor.string_owner()) result.string_owner = OwnerOf(tensor.string_owner().get());
  return result;
}

StatusOr<Tensor> FromC(const PenstockTensor& tensor) {
  BufferRef elements = Adopt(tensor.data, tensor.bytes, tensor.owner);
  BufferRef characters = Adopt(tensor.data, tensor.bytes, tensor.string_owner);
  // Both owners have been adopted, so an error from here on releases them.
  StatusOr<Tensor> result = TensorFromC(tensor, std::move(elements), std::move(characters));
  if (result.ok()) return result;
  return Error(StatusCode::kInternal, "{}", MessageOf(result.status()));
}

Status ToStatus(int32_t code, std::string_view text) {
  if (code == PENSTOCK_OK) return OkStatus();
  // The numbers of the ABI and of absl::StatusCode are gRPC's, so a cast is enough.
  const bool canonical = code > PENSTOCK_OK && code <= PENSTOCK_UNAUTHENTICATED;
  return Error(canonical ? static_cast<StatusCode>(code) : StatusCode::kUnknown, "{}", text);
}

ErrorSink::ErrorSink() {
  set = [](PenstockError* error, PenstockString message) {
    static_cast<ErrorSink*>(error)->text = View(message);
  };
}

StatusOr<Description> FromC(std::string_view platform, const PenstockModelInfo* described) {
  ASSIGN_OR_RETURN(const PenstockModelInfo info,
                   ReadStruct(described, offsetof(PenstockModelInfo, cut_points), "the model"));
  Description result;
  result.info.platform = platform;
  result.info.traits = TraitsFromC(info.flags);
  result.runs_max = info.runs_max;
  result.info.traits.runs_max = info.runs_max;
  result.info.notes = TextsFromC(info.notes, info.note_count);
  result.info.signature_def_map = View(info.signature_def_map);
  for (const PenstockLeftOut& each : std::span(info.left_out, info.left_out_count)) {
    AddLeftOut(each, result.info);
  }
  for (const PenstockSignature* const each : std::span(info.signatures, info.signature_count)) {
    ASSIGN_OR_RETURN(const PenstockSignature signature,
                     ReadStruct(each, sizeof(PenstockSignature), "a signature"));
    TRY(AppendSignature(signature, info, result));
  }
  return result;
}

}  // namespace penstock::abi
