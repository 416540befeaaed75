// SPDX-License-Identifier: Apache-2.0
#include "tf_tensor.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "tensorflow/core/platform/ctstring.h"

namespace penstock::tensorflow {
namespace {

using plugin::Error;

// TensorFlow copies what is not aligned to this.
constexpr uintptr_t kAlignment = 64;

TensorPtr Allocate(const TfApi& api, const PenstockTensor& tensor, size_t bytes) {
  TensorPtr result(api.AllocateTensor(static_cast<TF_DataType>(tensor.dtype), tensor.shape,
                                      static_cast<int>(tensor.rank), bytes),
                   {&api});
  if (result == nullptr) throw Error(PENSTOCK_RESOURCE_EXHAUSTED, "no memory for an input");
  return result;
}

// Strings are copied: TensorFlow may keep a string (in a table, say) beyond the request, and a copy
// of a view is a view.
TensorPtr StringsToTensorFlow(const TfApi& api, const PenstockTensor& tensor) {
  const size_t count = tensor.bytes / sizeof(PenstockString);
  const auto* const from = static_cast<const PenstockString*>(tensor.data);
  TensorPtr result = Allocate(api, tensor, count * sizeof(TF_TString));
  auto* const to = static_cast<TF_TString*>(api.TensorData(result.get()));
  for (size_t i = 0; i < count; ++i) {
    TF_TString_Init(&to[i]);
    TF_TString_Copy(&to[i], from[i].data, from[i].size);
  }
  return result;
}

// Owns a string output: the array of views that the host reads, and the tensor that holds the
// characters. One thread at a time.
struct StringOutput {
  TensorPtr value;
  std::unique_ptr<PenstockString[]> elements;
};

}  // namespace

TensorPtr ToTensorFlow(const TfApi& api, const PenstockTensor& tensor) {
  if (tensor.dtype == PENSTOCK_STRING) return StringsToTensorFlow(api, tensor);
  const bool aligned = reinterpret_cast<uintptr_t>(tensor.data) % kAlignment == 0;
  // TensorFlow would copy an unaligned buffer anyway. Without an owner the memory is valid only
  // until this call returns, but TensorFlow may keep the tensor longer.
  if (!aligned || tensor.bytes == 0 || tensor.owner.calls == nullptr) {
    TensorPtr copy = Allocate(api, tensor, tensor.bytes);
    if (tensor.bytes > 0) std::memcpy(api.TensorData(copy.get()), tensor.data, tensor.bytes);
    return copy;
  }
  auto owner = std::make_unique<PenstockOwner>(tensor.owner);
  tensor.owner.calls->keep(tensor.owner.object);
  const auto release = [](void*, size_t, void* argument) {
    const std::unique_ptr<PenstockOwner> kept(static_cast<PenstockOwner*>(argument));
    kept->calls->release(kept->object);
  };
  TF_Tensor* const result = api.NewTensor(
      static_cast<TF_DataType>(tensor.dtype), tensor.shape, static_cast<int>(tensor.rank),
      const_cast<void*>(tensor.data), tensor.bytes, release, owner.release());
  if (result == nullptr) throw Error(PENSTOCK_INTERNAL, "TensorFlow refused an input");
  return TensorPtr(result, {&api});
}

bool SameValues(const PenstockTensor& a, const PenstockTensor& b) {
  if (a.dtype != b.dtype || a.bytes != b.bytes) return false;
  if (!std::equal(a.shape, a.shape + a.rank, b.shape, b.shape + b.rank)) return false;
  if (a.dtype != PENSTOCK_STRING) return a.bytes == 0 || std::memcmp(a.data, b.data, a.bytes) == 0;
  const auto* const of_a = static_cast<const PenstockString*>(a.data);
  const auto* const of_b = static_cast<const PenstockString*>(b.data);
  return std::equal(of_a, of_a + a.bytes / sizeof(PenstockString), of_b,
                    [](const PenstockString& one, const PenstockString& other) {
                      return plugin::View(one) == plugin::View(other);
                    });
}

std::optional<plugin::Value> ToValue(const TfApi& api, const TF_Tensor* tensor) {
  constexpr size_t kBytesMax = 64 * 1024;
  const size_t bytes = api.TensorByteSize(tensor);
  plugin::Value value;
  value.dtype = static_cast<int32_t>(api.TensorType(tensor));
  if (bytes > kBytesMax) return std::nullopt;
  for (int i = 0; i < api.NumDims(tensor); ++i) value.shape.push_back(api.Dim(tensor, i));
  const void* const data = api.TensorData(tensor);
  if (value.dtype != PENSTOCK_STRING) {
    value.bytes.assign(static_cast<const char*>(data), bytes);
    return value;
  }
  const std::span elements(static_cast<const TF_TString*>(data),
                           static_cast<size_t>(api.TensorElementCount(tensor)));
  size_t text_bytes = 0;
  for (const TF_TString& element : elements) {
    text_bytes += TF_TString_GetSize(&element);
    if (text_bytes > kBytesMax) return std::nullopt;
    value.strings.emplace_back(TF_TString_GetDataPointer(&element), TF_TString_GetSize(&element));
  }
  return value;
}

PenstockTensor FromTensorFlow(const TfApi& api, TensorPtr value, OutputSizes& sizes) {
  PenstockTensor result{};
  const int rank = api.NumDims(value.get());
  int64_t* shape = sizes.few;
  if (rank > OutputSizes::kInline) {
    sizes.many = std::make_unique<int64_t[]>(static_cast<size_t>(rank));
    shape = sizes.many.get();
  }
  for (int i = 0; i < rank; ++i) shape[i] = api.Dim(value.get(), i);
  result.dtype = static_cast<int32_t>(api.TensorType(value.get()));
  result.rank = static_cast<uint32_t>(rank);
  result.shape = shape;
  result.data = api.TensorData(value.get());
  result.bytes = api.TensorByteSize(value.get());
  if (result.dtype != PENSTOCK_STRING) {
    result.owner = plugin::MakeOwner(std::move(value));
    return result;
  }
  const auto count = static_cast<size_t>(api.TensorElementCount(value.get()));
  StringOutput output{std::move(value), std::make_unique<PenstockString[]>(count)};
  const auto* const from = static_cast<const TF_TString*>(result.data);
  for (size_t i = 0; i < count; ++i) {
    output.elements[i] = {TF_TString_GetDataPointer(&from[i]), TF_TString_GetSize(&from[i])};
  }
  result.data = output.elements.get();
  result.bytes = count * sizeof(PenstockString);
  result.owner = plugin::MakeOwner(std::move(output));
  return result;
}

}  // namespace penstock::tensorflow
