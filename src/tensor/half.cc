// SPDX-License-Identifier: Apache-2.0
#include "tensor/half.h"

#include <cmath>
#include <limits>

namespace penstock {

float Float16ToFloat(uint16_t bits) {
  const int exponent = bits >> 10 & 0x1F;
  const int steps = bits & 0x3FF;
  float magnitude;
  if (exponent == 0x1F) {
    magnitude = steps == 0 ? std::numeric_limits<float>::infinity()
                           : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(steps), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(steps + 1024), exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

}  // namespace penstock
