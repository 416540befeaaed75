// SPDX-License-Identifier: Apache-2.0
// Arithmetic on byte counts that stops at the limits: results above the maximum become the maximum,
// and negative differences become 0.
#pragma once

#include <cstdint>

namespace penstock {

// For "how much would it take": a sum that overflows must not look small.
constexpr uint64_t SaturatingSum(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

// For "how much is left": estimates may exceed what there is.
constexpr uint64_t SaturatingDifference(uint64_t more, uint64_t less) {
  return more > less ? more - less : 0;
}

constexpr uint64_t SaturatingProduct(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

}  // namespace penstock
