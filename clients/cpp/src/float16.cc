// SPDX-License-Identifier: Apache-2.0
#include "penstock_client/float16.h"

#include <bit>

namespace penstock_client {

// float32 has 1 bit for the sign, 8 for the exponent (bias 127) and 23 for the fraction; float16
// has 1, 5 (bias 15) and 10.
Float16::Float16(float value) {
  const uint32_t all = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = all & 0x7fff'ffff;
  const auto sign = static_cast<uint16_t>(all >> 16 & 0x8000);
  if (magnitude > 0x7f80'0000) {  // no number
    bits = static_cast<uint16_t>(sign | 0x7e00);
    return;
  }
  const int exponent = static_cast<int>(magnitude >> 23) - 127 + 15;
  // The fraction with the leading 1, and how many of its bits are dropped: more for numbers below
  // the normal ones.
  const uint32_t fraction = (magnitude & 0x7f'ffff) | 0x80'0000;
  const int dropped = exponent > 0 ? 13 : 14 - exponent;
  if (dropped > 24) {
    bits = sign;  // less than half of the smallest one
    return;
  }
  const uint32_t half = uint32_t{1} << (dropped - 1);
  uint32_t kept = fraction >> dropped;
  const uint32_t rest = fraction & ((uint32_t{1} << dropped) - 1);
  if (rest > half || (rest == half && (kept & 1) != 0)) ++kept;
  // Rounding may carry into the exponent, which is right.
  if (exponent > 0) kept += static_cast<uint32_t>(exponent - 1) << 10;
  bits = static_cast<uint16_t>(sign | (exponent >= 31 || kept > 0x7c00 ? 0x7c00 : kept));
}

Float16::operator float() const {
  const uint32_t sign = uint32_t{bits} >> 15 << 31;
  const uint32_t exponent = bits >> 10 & 31;
  uint32_t fraction = uint32_t{bits} << 13 & 0x7f'ffff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f80'0000 | fraction);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction);
  const float value = static_cast<float>(bits & 0x3ff) * 0x1p-24f;
  return sign != 0 ? -value : value;
}

}  // namespace penstock_client
