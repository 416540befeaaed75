// SPDX-License-Identifier: Apache-2.0
// The dimensions of a tensor.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>

#include "absl/container/inlined_vector.h"

namespace penstock {

// The highest rank. TensorFlow's limit is 254, too.
inline constexpr size_t kRankMax = 254;

// Sizes of the dimensions, outermost first. -1 means unknown, and is only allowed in a signature. A
// scalar has rank 0. Up to four dimensions take no allocation. Nothing here checks the sizes: a
// shape from a client may be negative or overflow, which ElementCount finds.
//
//   Shape batch{32, -1, 3};           // as a signature has it
//   Shape scalar;                     // rank 0, one element
//
// One thread at a time.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(std::span<const int64_t> dims) : dims_(dims.begin(), dims.end()) {}

  size_t rank() const { return dims_.size(); }
  // REQUIRES: axis < rank().
  int64_t dim(size_t axis) const { return dims_[axis]; }
  void Append(int64_t size) { dims_.push_back(size); }
  // REQUIRES: axis < rank().
  void SetDim(size_t axis, int64_t size) { dims_[axis] = size; }
  std::span<const int64_t> dims() const { return {dims_.data(), dims_.size()}; }

  // The product of the dimensions (1 for a scalar). None if a dimension is negative, or if the
  // product of the non-zero dimensions exceeds int64.
  std::optional<int64_t> ElementCount() const;

  // As "[32,-1,3]"; "[]" for a scalar.
  std::string ToString() const;

  bool operator==(const Shape& other) const { return dims_ == other.dims_; }

 private:
  absl::InlinedVector<int64_t, 4> dims_;
};

}  // namespace penstock
