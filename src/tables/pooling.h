// SPDX-License-Identifier: Apache-2.0
// Several rows become one: their sum or mean.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "tensor/shape.h"
#include "tensor/tensor.h"

namespace penstock::tables {

// Keys in groups that follow each other.
struct KeyGroups {
  Shape shape;                            // of the groups: one group for each of its elements
  std::span<const int64_t> lengths = {};  // of the groups; empty: all have `length`
  int64_t length = 0;
};

// Groups the keys by their last dimension; or, if there are row lengths, which come from a request,
// by these. INVALID_ARGUMENT if the keys have no dimension, or more than one with row lengths, or
// if the lengths do not add up to the number of keys.
StatusOr<KeyGroups> GroupKeys(const Tensor& keys, const Tensor* row_lengths);

// What is pooled.
struct PoolInput {
  DType dtype = DType::kFloat32;  // of the rows; one that CanPool
  uint64_t dimension = 0;
  const std::byte* rows = nullptr;      // one for each key
  const bool* counts = nullptr;         // for each key; false: its row is left out; null: none is
  std::span<const float> weights = {};  // one for each key; empty: all are 1
  bool is_mean = false;                 // the sum is divided by the sum of weights
};

bool CanPool(DType dtype);
// The type of a pooled row: float64, or float32 for all shorter ones.
DType PooledType(DType dtype);
// Writes a row for each group to `pooled`, which has PooledType. A group whose weights sum up to
// zero gets zeros.
void Pool(const PoolInput& input, const KeyGroups& groups, Tensor& pooled);

}  // namespace penstock::tables
