// SPDX-License-Identifier: Apache-2.0
// Shapes come from clients and from runtimes, so every product of dimensions is checked for an
// overflow before it becomes a size (ArrayBytes), and every size before it is allocated. A view is
// made only if the data is aligned for its type: an unaligned float may not be read as one.
#include "tensor/tensor.h"

#include <cstring>

#include "base/check.h"

namespace penstock {
namespace {

size_t ElementBytes(DType type) {
  return type == DType::kString ? sizeof(StringElement) : DTypeBytes(type);
}

// Returns the bytes of an array with this type and shape.
StatusOr<uint64_t> ArrayBytes(DType type, const Shape& shape) {
  const size_t element_bytes = ElementBytes(type);
  if (element_bytes == 0) return InvalidArgument("the tensor has no valid element type");
  if (shape.rank() > kRankMax) {
    return InvalidArgument("the tensor has {} dimensions; at most {} are allowed", shape.rank(),
                           kRankMax);
  }
  const std::optional<int64_t> count = shape.ElementCount();
  uint64_t bytes = 0;
  if (!count || __builtin_mul_overflow(static_cast<uint64_t>(*count), element_bytes, &bytes)) {
    return InvalidArgument(
        "the shape {} has a negative dimension or more elements than can be addressed",
        shape.ToString());
  }
  return bytes;
}

// The alignment that elements of `type` need.
size_t AlignmentOf(DType type) {
  const size_t bytes = DTypeBytes(type);
  // A complex number is two floats, and is aligned as one of them.
  return type == DType::kComplex64 || type == DType::kComplex128 ? bytes / 2 : bytes;
}

}  // namespace

StatusOr<Tensor> Tensor::FromBytes(DType type, Shape shape, Slice elements) {
  if (type == DType::kString) return absl::InternalError("strings are not one piece of bytes");
  ASSIGN_OR_RETURN(const uint64_t bytes, ArrayBytes(type, shape));
  if (bytes != elements.size) {
    return InvalidArgument("a {} tensor of shape {} takes {} bytes, but {} were given",
                           DTypeName(type), shape.ToString(), bytes, elements.size);
  }
  Tensor tensor;
  tensor.dtype_ = type;
  tensor.element_count_ = static_cast<int64_t>(bytes / DTypeBytes(type));
  tensor.shape_ = std::move(shape);
  tensor.elements_ = std::move(elements);
  return tensor;
}

StatusOr<Tensor> Tensor::ViewOrCopy(DType type, Shape shape, Slice elements,
                                    RequestMemory& memory) {
  const size_t alignment = AlignmentOf(type);
  if (alignment > 1 && reinterpret_cast<uintptr_t>(elements.data) % alignment != 0) {
    ASSIGN_OR_RETURN(BufferRef copy, memory.Allocate(elements.size));
    if (elements.size > 0) std::memcpy(copy->data(), elements.data, elements.size);
    elements = WholeSlice(std::move(copy));
  }
  return FromBytes(type, std::move(shape), std::move(elements));
}

StatusOr<Tensor> Tensor::FromStrings(Shape shape, BufferRef array, BufferRef bytes_owner) {
  ASSIGN_OR_RETURN(const uint64_t bytes, ArrayBytes(DType::kString, shape));
  if (bytes != array->size()) {
    return InvalidArgument("a string tensor of shape {} has {} elements, but {} were given",
                           shape.ToString(), bytes / sizeof(StringElement),
                           array->size() / sizeof(StringElement));
  }
  Tensor tensor;
  tensor.dtype_ = DType::kString;
  tensor.element_count_ = static_cast<int64_t>(bytes / sizeof(StringElement));
  tensor.shape_ = std::move(shape);
  tensor.elements_ = WholeSlice(std::move(array));
  tensor.string_owner_ = std::move(bytes_owner);
  return tensor;
}

StatusOr<Tensor> Tensor::Allocate(DType type, Shape shape, uint64_t bytes_max) {
  RequestMemory memory(bytes_max);
  return Allocate(type, std::move(shape), memory);
}

StatusOr<Tensor> Tensor::Allocate(DType type, Shape shape, RequestMemory& memory) {
  ASSIGN_OR_RETURN(const uint64_t bytes, ArrayBytes(type, shape));
  if (bytes > memory.bytes_left()) {
    return Error(StatusCode::kResourceExhausted,
                 "a {} tensor of shape {} takes {} bytes; the limit is {}", DTypeName(type),
                 shape.ToString(), bytes, memory.bytes_left());
  }
  ASSIGN_OR_RETURN(BufferRef buffer, memory.Allocate(bytes));
  // Only after the allocation, so that a refusal leaves the limit as it was.
  memory.Take(bytes);
  Tensor tensor;
  tensor.dtype_ = type;
  tensor.element_count_ = static_cast<int64_t>(bytes / ElementBytes(type));
  tensor.shape_ = std::move(shape);
  tensor.elements_ = WholeSlice(std::move(buffer));
  // Views must be valid before they are filled. Numbers need no such care.
  if (type == DType::kString) std::memset(tensor.mutable_data(), 0, bytes);
  return tensor;
}

Tensor Tensor::Rows(int64_t first, int64_t count) const {
  PENSTOCK_CHECK(shape_.rank() >= 1 && first >= 0 && count >= 0 && count <= shape_.dim(0) - first,
                 "the tensor has no such rows");
  Tensor part = *this;
  part.shape_.SetDim(0, count);
  const int64_t all = shape_.dim(0);
  const int64_t row_elements = all == 0 ? 0 : element_count_ / all;
  const size_t row_bytes = all == 0 ? 0 : elements_.size / static_cast<size_t>(all);
  part.element_count_ = count * row_elements;
  part.elements_.data += static_cast<size_t>(first) * row_bytes;
  part.elements_.size = static_cast<size_t>(count) * row_bytes;
  return part;
}

uint64_t Tensor::StringBytes() const {
  if (dtype_ != DType::kString) return 0;
  uint64_t sum = 0;
  for (const StringElement& element : strings()) sum += element.size;
  return sum;
}

}  // namespace penstock
