// SPDX-License-Identifier: Apache-2.0
#include "tables/pooling.h"

#include <algorithm>
#include <cstring>

#include "tensor/half.h"

namespace penstock::tables {
namespace {

float ToFloat(uint16_t bits, DType dtype) {
  return dtype == DType::kFloat16 ? Float16ToFloat(bits) : Bfloat16ToFloat(bits);
}

// Adds `weight` times the row to `sum`. Blocks of a constant size become vector instructions.
template <typename T>
void AddRow(const std::byte* row, T weight, T* sum, uint64_t dimension) {
  constexpr uint64_t kBlock = 16;
  uint64_t k = 0;
  for (; k + kBlock <= dimension; k += kBlock) {
    T block[kBlock];
    std::memcpy(block, row + k * sizeof(T), sizeof(block));
    for (uint64_t i = 0; i < kBlock; ++i) sum[k + i] += weight * block[i];
  }
  for (; k < dimension; ++k) {
    T element = 0;
    std::memcpy(&element, row + k * sizeof(T), sizeof(element));
    sum[k] += weight * element;
  }
}

void AddHalfRow(const std::byte* row, DType dtype, float weight, float* sum, uint64_t dimension) {
  for (uint64_t k = 0; k < dimension; ++k) {
    uint16_t bits = 0;
    std::memcpy(&bits, row + k * sizeof(bits), sizeof(bits));
    sum[k] += weight * ToFloat(bits, dtype);
  }
}

template <typename T>
void PoolAs(const PoolInput& input, const KeyGroups& groups, Tensor& pooled) {
  const uint64_t dimension = input.dimension;
  const size_t row_bytes = dimension * DTypeBytes(input.dtype);
  T* sum = pooled.mutable_as<T>().data();
  const int64_t count = pooled.element_count() / static_cast<int64_t>(dimension);
  size_t key = 0;
  for (int64_t group = 0; group < count; ++group, sum += dimension) {
    std::fill_n(sum, dimension, T{0});
    const int64_t length =
        groups.lengths.empty() ? groups.length : groups.lengths[static_cast<size_t>(group)];
    T weights = 0;
    for (const size_t end = key + static_cast<size_t>(length); key < end; ++key) {
      if (input.counts != nullptr && !input.counts[key]) continue;
      const T weight = input.weights.empty() ? T{1} : static_cast<T>(input.weights[key]);
      weights += weight;
      const std::byte* const row = input.rows + key * row_bytes;
      if (DTypeBytes(input.dtype) == 2) {
        if constexpr (sizeof(T) == sizeof(float))
          AddHalfRow(row, input.dtype, weight, sum, dimension);
      } else {
        AddRow<T>(row, weight, sum, dimension);
      }
    }
    if (!input.is_mean) continue;
    const T scale = weights == 0 ? T{0} : T{1} / weights;
    for (uint64_t k = 0; k < dimension; ++k) sum[k] = scale == 0 ? T{0} : sum[k] * scale;
  }
}

}  // namespace

StatusOr<KeyGroups> GroupKeys(const Tensor& keys, const Tensor* row_lengths) {
  KeyGroups groups;
  const size_t rank = keys.shape().rank();
  if (row_lengths == nullptr) {
    if (rank == 0)
      return InvalidArgument("the input 'keys' has no dimension; its last one is pooled");
    groups.length = keys.shape().dim(rank - 1);
    groups.shape = Shape(keys.shape().dims().first(rank - 1));
    return groups;
  }
  if (rank != 1)
    return InvalidArgument("the input 'keys' has {} dimensions; with 'row_lengths' it must have 1",
                           rank);
  groups.lengths = row_lengths->as<int64_t>();
  groups.shape = row_lengths->shape();
  uint64_t sum = 0;
  const auto count = static_cast<uint64_t>(keys.element_count());
  for (const int64_t length : groups.lengths) {
    if (length < 0) return InvalidArgument("the input 'row_lengths' has the length {}", length);
    sum += static_cast<uint64_t>(length);
    // Before a sum of many can overflow.
    if (sum > count) break;
  }
  if (sum != count)
    return InvalidArgument("the lengths of 'row_lengths' do not add up to the {} keys", count);
  return groups;
}

bool CanPool(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kFloat64 || dtype == DType::kFloat16 ||
         dtype == DType::kBfloat16;
}

DType PooledType(DType dtype) {
  return dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
}

void Pool(const PoolInput& input, const KeyGroups& groups, Tensor& pooled) {
  if (input.dtype == DType::kFloat64) {
    PoolAs<double>(input, groups, pooled);
  } else {
    PoolAs<float>(input, groups, pooled);
  }
}

}  // namespace penstock::tables
