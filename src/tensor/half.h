// SPDX-License-Identifier: Apache-2.0
// The values of 16-bit floating-point numbers.
#pragma once

#include <bit>
#include <cstdint>

namespace penstock {

// The value of the bits of an IEEE half precision number, and of a bfloat16. Exact.
float Float16ToFloat(uint16_t bits);
inline float Bfloat16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

}  // namespace penstock
