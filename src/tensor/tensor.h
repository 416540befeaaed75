// SPDX-License-Identifier: Apache-2.0
// A tensor: a view of elements and the owner that keeps them alive. Row-major, little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace penstock {

// One element of a kString tensor. The tensor's string owner, or its own buffer, keeps the bytes
// alive. Has the layout of PenstockString in include/penstock/backend.h.
struct StringElement {
  const char* data = nullptr;
  size_t size = 0;

  std::string_view view() const { return {data, size}; }
};

// Elements of one type in one piece of memory, row-major and little-endian. Copying a Tensor copies
// the view and takes a reference, never elements.
//
//   // A view of received bytes. Fails if 12 bytes are not what shape and type need.
//   ASSIGN_OR_RETURN(Tensor in, Tensor::FromBytes(DType::kFloat32, Shape{3}, bytes));
//   for (const float x : in.as<float>()) ...
//
//   // A new one. Fill it before it is passed on.
//   ASSIGN_OR_RETURN(Tensor out, Tensor::Allocate(DType::kFloat32, Shape{3}, memory));
//   std::ranges::fill(out.mutable_as<float>(), 0.0f);
//
// One thread at a time; the elements are immutable once the tensor has been passed on.
class Tensor {
 public:
  Tensor() = default;

  // Makes a tensor over `elements`, which must hold exactly ElementCount(shape) elements and an
  // owner, and must be aligned for `type`. Copies nothing. Not for kString. Errors:
  // INVALID_ARGUMENT if type, shape and size do not match.
  static StatusOr<Tensor> FromBytes(DType type, Shape shape, Slice elements);

  // Makes a tensor over received bytes: as FromBytes if they are aligned for `type`, else over a
  // copy of them. Errors also: RESOURCE_EXHAUSTED, if `memory` has no buffer for the copy.
  static StatusOr<Tensor> ViewOrCopy(DType type, Shape shape, Slice elements,
                                     RequestMemory& memory);

  // Makes a kString tensor over an array of StringElement (in `array`). `bytes_owner` keeps the
  // characters alive; it may be null if `array` does. INVALID_ARGUMENT if the array does not fit
  // the shape.
  static StatusOr<Tensor> FromStrings(Shape shape, BufferRef array, BufferRef bytes_owner);

  // Allocates uninitialised elements; fill them through mutable_data(). For kString allocates an
  // array of empty strings; set the owner of the characters with set_string_owner(). Errors:
  // INVALID_ARGUMENT if the shape overflows; RESOURCE_EXHAUSTED if it exceeds `bytes_max`, or if
  // there is no memory.
  static StatusOr<Tensor> Allocate(DType type, Shape shape, uint64_t bytes_max = UINT64_MAX);
  // Allocates a tensor of a request, and takes its bytes off the request's memory.
  static StatusOr<Tensor> Allocate(DType type, Shape shape, RequestMemory& memory);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  // The number of elements.
  int64_t element_count() const { return element_count_; }
  // Bytes of the element array. For kString that is the StringElement array, without the
  // characters.
  size_t bytes() const { return elements_.size; }
  // The first element. Aligned for the type; to kBufferAlignment if it was allocated here, or if
  // the message was received so.
  const std::byte* data() const { return elements_.data; }
  const Slice& elements() const { return elements_; }

  // The elements as T, which must be the C++ type of dtype().
  template <typename T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(elements_.data), static_cast<size_t>(element_count_)};
  }
  std::span<const StringElement> strings() const { return as<StringElement>(); }
  // Keeps the characters of a kString tensor alive. Null: elements().owner does.
  const BufferRef& string_owner() const { return string_owner_; }
  // Sum of the string lengths; 0 unless kString.
  uint64_t StringBytes() const;

  // Returns `count` rows of it, from row `first` on, as a tensor that shares the elements. A row is
  // an entry of the first dimension. REQUIRES: rank >= 1, and 0 <= first <= first + count <=
  // dim(0).
  Tensor Rows(int64_t first, int64_t count) const;

  // Only use it between Allocate and passing the tensor on.
  std::byte* mutable_data() { return const_cast<std::byte*>(elements_.data); }
  template <typename T>
  std::span<T> mutable_as() {
    return {reinterpret_cast<T*>(mutable_data()), static_cast<size_t>(element_count_)};
  }
  void set_string_owner(BufferRef owner) { string_owner_ = std::move(owner); }

 private:
  DType dtype_ = DType::kInvalid;
  Shape shape_;
  int64_t element_count_ = 0;
  Slice elements_;
  BufferRef string_owner_;
};

}  // namespace penstock
