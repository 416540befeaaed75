// SPDX-License-Identifier: Apache-2.0
#include "tensor/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace penstock {

std::optional<int64_t> Shape::ElementCount() const {
  int64_t product = 1;
  bool any_zero = false;
  for (const int64_t size : dims_) {
    if (size < 0) return std::nullopt;
    if (size == 0) {
      // Go on: a later size may be negative or overflow, and the shape is wrong then even without
      // elements.
      any_zero = true;
      continue;
    }
    if (__builtin_mul_overflow(product, size, &product)) return std::nullopt;
  }
  return any_zero ? 0 : product;
}

std::string Shape::ToString() const {
  return fmt::format("[{}]", fmt::join(dims_.begin(), dims_.end(), ","));
}

}  // namespace penstock
