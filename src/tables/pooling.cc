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
void AddElements(const std::byte* row, T weight, T* sum, uint64_t dimension) {
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

void AddHalves(const std::byte* row, DType dtype, float weight, float* sum, uint64_t dimension) {
  for (uint64_t k = 0; k < dimension; ++k) {
    uint16_t bits = 0;
    std::memcpy(&bits, row + k * sizeof(bits), sizeof(bits));
    sum[k] += weight * ToFloat(bits, dtype);
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

Pooler::Pooler(const PoolRules& rules, const KeyGroups& groups, Tensor& pooled)
    : rules_(rules),
      groups_(groups),
      sums_(pooled.mutable_data()),
      group_count_(pooled.element_count() / static_cast<int64_t>(rules.dimension)) {
  std::memset(sums_, 0, pooled.bytes());
  BeginGroup();
}

void Pooler::Add(const std::byte* rows, const bool* counts, size_t count) {
  if (rules_.dtype == DType::kFloat64) {
    AddAs<double>(rows, counts, count);
  } else {
    AddAs<float>(rows, counts, count);
  }
}

template <typename T>
void Pooler::AddAs(const std::byte* rows, const bool* counts, size_t count) {
  const size_t row_bytes = rules_.dimension * DTypeBytes(rules_.dtype);
  for (size_t i = 0; i < count; ++i, ++key_, rows += row_bytes) {
    if (counts == nullptr || counts[i]) {
      const float weight = rules_.weights.empty() ? 1.0F : rules_.weights[key_];
      weight_sum_ += weight;
      AddRow<T>(rows, weight);
    }
    if (--keys_left_ == 0) EndGroup<T>();
  }
}

template <typename T>
void Pooler::AddRow(const std::byte* row, T weight) {
  T* const sum = reinterpret_cast<T*>(sums_) + static_cast<uint64_t>(group_) * rules_.dimension;
  if constexpr (sizeof(T) == sizeof(float)) {
    if (DTypeBytes(rules_.dtype) == 2)
      return AddHalves(row, rules_.dtype, weight, sum, rules_.dimension);
  }
  AddElements<T>(row, weight, sum, rules_.dimension);
}

template <typename T>
void Pooler::EndGroup() {
  if (rules_.is_mean) {
    T* const sum = reinterpret_cast<T*>(sums_) + static_cast<uint64_t>(group_) * rules_.dimension;
    const auto weights = static_cast<T>(weight_sum_);
    for (uint64_t k = 0; k < rules_.dimension; ++k) sum[k] = weights == 0 ? T{0} : sum[k] / weights;
  }
  BeginGroup();
}

void Pooler::BeginGroup() {
  weight_sum_ = 0;
  do {
    ++group_;
    keys_left_ = group_ < group_count_ ? LengthOf(group_) : 0;
  } while (keys_left_ == 0 && group_ < group_count_);
}

}  // namespace penstock::tables
