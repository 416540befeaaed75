// SPDX-License-Identifier: Apache-2.0
// Shapes of blobs as far as they are known before a request comes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace penstock::convert {

// The sizes of a blob's dimensions. The rank is always known.
using Dims = std::vector<int64_t>;

// The number of rows of the request. Only dimension 0 has this size, and the rows do not depend on
// each other.
inline constexpr int64_t kRows = -1;
// A size that is known only when the model runs.
inline constexpr int64_t kUnknown = -2;

inline constexpr size_t kRankMax = 32;
inline constexpr int64_t kDimMax = INT32_MAX;  // Caffe2's sizes are 32-bit numbers

// Returns the product of the sizes. None if one of them is not known, or if it is above 2^62.
std::optional<int64_t> Product(std::span<const int64_t> dims);

// Returns `dims` for a blob whose rows may depend on each other: their number is no longer kRows.
Dims MixRows(Dims dims);

// Returns the size of two dimensions that must be equal. None if they are known to differ.
std::optional<int64_t> SameDim(int64_t a, int64_t b);

// Formats them as "[rows, 3, ?]".
std::string DimsText(std::span<const int64_t> dims);

}  // namespace penstock::convert
