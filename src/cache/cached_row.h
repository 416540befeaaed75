// SPDX-License-Identifier: Apache-2.0
// One row of an output, as a cache keeps it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace penstock::cache {

class CachedRow;

// An owning reference to a CachedRow, or none. One thread at a time.
class RowRef final {
 public:
  RowRef() = default;
  explicit RowRef(CachedRow* adopted);
  const CachedRow* operator->() const;
  const CachedRow& operator*() const { return *operator->(); }
  explicit operator bool() const { return static_cast<bool>(buffer_); }
  const BufferRef& buffer() const { return buffer_; }

 private:
  BufferRef buffer_;
};

// The elements of one row, its type and its shape, in one piece of memory. The bytes of the Buffer
// are the elements; the characters of strings are behind them. Immutable once it is shared;
// thread-safe as Buffer is.
class CachedRow final : public Buffer {
 public:
  // Copies a row of `tensor`. Empty: there is no memory for it. REQUIRES: the tensor has a first
  // dimension, and more rows than `row`.
  static RowRef Copy(const Tensor& tensor, int64_t row);
  // Makes a row with uninitialised elements. Empty: there is no memory for it.
  static RowRef Make(DType dtype, Shape shape, size_t element_bytes, size_t string_bytes);

  DType dtype() const { return dtype_; }
  // Without the dimension of rows.
  const Shape& shape() const { return shape_; }
  std::span<const StringElement> strings() const {
    return {reinterpret_cast<const StringElement*>(data()), size() / sizeof(StringElement)};
  }
  std::byte* characters() const { return data() + size(); }
  size_t string_bytes() const { return string_bytes_; }
  // All bytes that it takes, with those of the allocator.
  size_t memory_bytes() const;

 private:
  CachedRow(std::byte* data, size_t size, DType dtype, Shape shape, size_t string_bytes)
      : Buffer(data, size), dtype_(dtype), shape_(std::move(shape)), string_bytes_(string_bytes) {}
  void Destroy() noexcept override;

  const DType dtype_;
  const Shape shape_;
  const size_t string_bytes_;
};

inline RowRef::RowRef(CachedRow* adopted) : buffer_(adopted) {}
inline const CachedRow* RowRef::operator->() const {
  return static_cast<const CachedRow*>(buffer_.get());
}

// Joins rows to a tensor. A single row is not copied. Errors: FAILED_PRECONDITION if the rows have
// not all the same type and shape; RESOURCE_EXHAUSTED.
StatusOr<Tensor> JoinRows(std::span<const RowRef> rows, RequestMemory& memory);

}  // namespace penstock::cache
