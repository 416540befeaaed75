// SPDX-License-Identifier: Apache-2.0
#include "convert/caffe2/dims.h"

#include <algorithm>

namespace penstock::convert {

std::optional<int64_t> Product(std::span<const int64_t> dims) {
  constexpr int64_t kProductMax = int64_t{1} << 62;
  int64_t product = 1;
  for (const int64_t dim : dims) {
    if (dim < 0 || __builtin_mul_overflow(product, dim, &product) || product > kProductMax)
      return std::nullopt;
  }
  return product;
}

Dims MixRows(Dims dims) {
  std::replace(dims.begin(), dims.end(), kRows, kUnknown);
  return dims;
}

std::optional<int64_t> SameDim(int64_t a, int64_t b) {
  if (a == b) return a;
  // A request may have as many rows as the other size says.
  if (a < 0 || b < 0) return kUnknown;
  return std::nullopt;
}

std::string DimsText(std::span<const int64_t> dims) {
  std::string text = "[";
  for (const int64_t dim : dims) {
    if (text.size() > 1) text += ", ";
    text += dim == kRows ? "rows" : dim == kUnknown ? "?" : std::to_string(dim);
  }
  return text + "]";
}

}  // namespace penstock::convert
