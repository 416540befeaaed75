// SPDX-License-Identifier: Apache-2.0
// A tensor that grows while its elements are parsed. The nesting of lists determines its shape.
#pragma once

#include <cstring>
#include <span>

#include "absl/container/inlined_vector.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "protocols/tfs_json/json_cursor.h"
#include "tensor/tensor.h"

namespace penstock::tfs_json {

inline bool IsComplex(DType dtype) {
  return dtype == DType::kComplex64 || dtype == DType::kComplex128;
}

// Collects elements and the shape. ReadValue drives it: OpenList, elements, CloseList. The first
// element fixes the rank, and the first list of each depth fixes a dimension; what differs later is
// an error. One thread at a time. Functions that return false have set the cursor's error.
class TensorBuilder {
 public:
  // kInvalid: the first element determines the type. Integers become int64, and change to float32
  // when a number with a point, an exponent or too many digits follows. `memory` is what all
  // tensors of the request together may still take; it outlives this.
  TensorBuilder(DType dtype, RequestMemory& memory)
      : dtype_(dtype), is_inferred_(dtype == DType::kInvalid), memory_(&memory) {
    element_bytes_ = ElementBytes();
  }

  DType dtype() const { return dtype_; }
  bool is_inferred() const { return is_inferred_; }
  // Sets the type of a tensor that has none yet.
  void SetType(DType dtype) {
    dtype_ = dtype;
    element_bytes_ = ElementBytes();
  }
  // For an inferred type: a number that is no integer came after integers. Converts those that are
  // stored already.
  void ConvertInt64ToFloat32();

  // Returns space for one element; call Commit() after writing. Returns null on an error.
  std::byte* Next(JsonCursor& cursor) {
    if (next_ == limit_ && !Grow(cursor)) return nullptr;
    return next_;
  }
  void Commit(size_t element_bytes) { next_ += element_bytes; }

  // Call it when a list opens inside `depth` others.
  bool OpenList(JsonCursor& cursor, int depth) {
    if (rank_ >= 0 && depth >= rank_) [[unlikely]]
      return FailRank(cursor, depth);
    if (depth >= cursor.depth_max() || depth >= static_cast<int>(kRankMax)) [[unlikely]] {
      return cursor.FailDepth();
    }
    return true;
  }
  // Call it for an element, or the end of an empty list, inside `depth` lists.
  bool SetRank(JsonCursor& cursor, int depth) {
    if (rank_ == depth) [[likely]]
      return true;
    if (rank_ >= 0) return FailRank(cursor, depth);
    rank_ = depth;
    dims_.assign(static_cast<size_t>(depth), -1);
    return true;
  }
  // Call it when a list inside `depth` others ends.
  bool CloseList(JsonCursor& cursor, int depth, int64_t count) {
    int64_t& dim = dims_[static_cast<size_t>(depth)];
    if (dim < 0) dim = count;
    if (dim == count) [[likely]]
      return true;
    return FailCount(cursor, depth, count);
  }

  // Call it after the last element. Gives back the memory that was counted but not used.
  void ReturnUnused() {
    memory_->GiveBack(static_cast<uint64_t>(limit_ - next_));
    limit_ = next_;
  }

  // The sizes of the lists, outermost first; -1: not known yet.
  std::span<const int64_t> dims() const { return dims_; }

  // The number of rows, if each row is a separate value.
  int64_t rows() const { return rows_; }
  void CountRow() { ++rows_; }

  // Reports the list that begins here, where earlier lists have values.
  bool FailList(JsonCursor& cursor) const;
  // Returns the tensor. With `has_rows` the number of rows is its first dimension.
  StatusOr<Tensor> Finish(const BufferRef& string_owner, bool has_rows);

 private:
  // The bytes of what Next returns: an element, or a half of a complex element, which JSON has as a
  // list of two numbers.
  size_t ElementBytes() const {
    if (dtype_ == DType::kString) return sizeof(StringElement);
    return IsComplex(dtype_) ? DTypeBytes(dtype_) / 2 : DTypeBytes(dtype_);
  }
  // Removes the dimension of the pairs from the shape of a complex tensor.
  Status JoinPairs();
  bool Grow(JsonCursor& cursor);
  bool FailRank(JsonCursor& cursor, int depth);
  bool FailCount(JsonCursor& cursor, int depth, int64_t count);

  DType dtype_;
  const bool is_inferred_;
  size_t element_bytes_ = 0;
  RequestMemory* const memory_;
  int rank_ = -1;                         // not known before the first element
  absl::InlinedVector<int64_t, 4> dims_;  // -1 until the first list of that depth ends
  int64_t rows_ = 0;
  BufferRef buffer_;
  std::byte* next_ = nullptr;
  std::byte* limit_ = nullptr;
  const char* start_ = nullptr;  // position in the text at the first element
};

// Reads one value, a scalar or nested lists, and appends its elements. On failure `*row`, if not
// null, is the index in the outermost list.
bool ReadValue(JsonCursor& cursor, TensorBuilder& builder, int64_t* row = nullptr);

}  // namespace penstock::tfs_json
