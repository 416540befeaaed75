// SPDX-License-Identifier: Apache-2.0
// A tensor that grows while its elements are read, and learns its shape from the nesting of lists.
#pragma once

#include <cstring>
#include <span>

#include "absl/container/inlined_vector.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "frontends/tfs_rest/json_cursor.h"
#include "tensor/tensor.h"

namespace penstock::tfs_rest {

// One thread at a time. Functions that return false have set the cursor's error.
class TensorBuilder {
 public:
  // kInvalid: take the type from the first element. Integers then become int64, and change to
  // float32 when a number with a point, an exponent or too many digits comes.
  // `memory`: what all tensors of the request together may still take; outlives this.
  TensorBuilder(DType dtype, RequestMemory& memory)
      : dtype_(dtype), is_inferred_(dtype == DType::kInvalid), memory_(&memory) {
    element_bytes_ = ElementBytes();
  }

  DType dtype() const { return dtype_; }
  bool is_inferred() const { return is_inferred_; }
  // Decides the type of a tensor without one.
  void SetType(DType dtype) {
    dtype_ = dtype;
    element_bytes_ = ElementBytes();
  }
  void ConvertInt64ToFloat32();

  // Room for one element, to be followed by Commit(). Null: see above.
  std::byte* Next(JsonCursor& cursor) {
    if (next_ == limit_ && !Grow(cursor)) return nullptr;
    return next_;
  }
  void Commit(size_t element_bytes) { next_ += element_bytes; }

  // A list is opened inside `depth` others.
  bool OpenList(JsonCursor& cursor, int depth) {
    if (rank_ >= 0 && depth >= rank_) [[unlikely]]
      return FailRank(cursor, depth);
    if (depth >= cursor.depth_max() || depth >= static_cast<int>(kRankMax)) [[unlikely]] {
      return cursor.FailDepth();
    }
    return true;
  }
  // An element, or the end of an empty list, comes inside `depth` lists.
  bool SetRank(JsonCursor& cursor, int depth) {
    if (rank_ == depth) [[likely]]
      return true;
    if (rank_ >= 0) return FailRank(cursor, depth);
    rank_ = depth;
    dims_.assign(static_cast<size_t>(depth), -1);
    return true;
  }
  // A list inside `depth` others has ended.
  bool CloseList(JsonCursor& cursor, int depth, int64_t count) {
    int64_t& dim = dims_[static_cast<size_t>(depth)];
    if (dim < 0) dim = count;
    if (dim == count) [[likely]]
      return true;
    return FailCount(cursor, depth, count);
  }

  // No more elements come: gives back the memory that was counted but not used.
  void ReturnUnused() {
    memory_->GiveBack(static_cast<uint64_t>(limit_ - next_));
    limit_ = next_;
  }

  // The sizes of the lists, from the outermost; -1: not known yet.
  std::span<const int64_t> dims() const { return dims_; }

  // Rows that were read, where each row is a value of its own.
  int64_t rows() const { return rows_; }
  void CountRow() { ++rows_; }

  // The tensor: of the shape that was read, with the count of rows in front if `has_rows`.
  StatusOr<Tensor> Finish(const BufferRef& string_owner, bool has_rows);

 private:
  size_t ElementBytes() const {
    return dtype_ == DType::kString ? sizeof(StringElement) : DTypeBytes(dtype_);
  }
  bool Grow(JsonCursor& cursor);
  bool FailRank(JsonCursor& cursor, int depth);
  bool FailCount(JsonCursor& cursor, int depth, int64_t count);

  DType dtype_;
  const bool is_inferred_;
  size_t element_bytes_ = 0;
  RequestMemory* const memory_;
  int rank_ = -1;                         // unknown until the first element
  absl::InlinedVector<int64_t, 4> dims_;  // -1 until the first list of that depth ends
  int64_t rows_ = 0;
  BufferRef buffer_;
  std::byte* next_ = nullptr;
  std::byte* limit_ = nullptr;
  const char* start_ = nullptr;  // where the text was when the first element came
};

// Reads one value, a scalar or lists of them, and appends its elements. On failure `*row` (if not
// null) is the index in the outermost list.
bool ReadValue(JsonCursor& cursor, TensorBuilder& builder, int64_t* row = nullptr);

}  // namespace penstock::tfs_rest
