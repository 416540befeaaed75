// SPDX-License-Identifier: Apache-2.0
// Several rows become one: their sum or mean.
#pragma once

#include <cstddef>
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

// How rows are pooled.
struct PoolRules {
  DType dtype = DType::kFloat32;  // of the rows; one that CanPool
  uint64_t dimension = 0;
  std::span<const float> weights = {};  // one for each key; empty: all are 1
  bool is_mean = false;                 // the sum is divided by the sum of weights
};

bool CanPool(DType dtype);
// The type of a pooled row: float64, or float32 for all shorter ones.
DType PooledType(DType dtype);

// Takes the rows of all keys, part by part, and writes a row for each group. A group whose weights
// sum up to zero gets zeros.
//
//   Pooler pooler(rules, groups, pooled);
//   pooler.Add(rows, counts, 1000);  // of the first 1000 keys
//   pooler.Add(rows, counts, 500);   // of the others
//
// One thread at a time.
class Pooler final {
 public:
  // `pooled` has PooledType, and a row for each group. All of it must outlive the pooler.
  Pooler(const PoolRules& rules, const KeyGroups& groups, Tensor& pooled);

  // `rows`: of the next `count` keys. `counts`: for each of them; false: its row is left out; null:
  // none is.
  void Add(const std::byte* rows, const bool* counts, size_t count);

 private:
  template <typename T>
  void AddAs(const std::byte* rows, const bool* counts, size_t count);
  template <typename T>
  void AddRow(const std::byte* row, T weight);
  template <typename T>
  void EndGroup();
  // Goes on to the next group that has keys.
  void BeginGroup();
  int64_t LengthOf(int64_t group) const {
    return groups_.lengths.empty() ? groups_.length : groups_.lengths[static_cast<size_t>(group)];
  }

  const PoolRules rules_;
  const KeyGroups& groups_;
  std::byte* const sums_;
  const int64_t group_count_;
  int64_t group_ = -1;
  int64_t keys_left_ = 0;  // of the group
  double weight_sum_ = 0;  // of the group
  size_t key_ = 0;
};

}  // namespace penstock::tables
