// SPDX-License-Identifier: Apache-2.0
// Numbers of 16 bits, which C++20 lacks.
#pragma once

#include <cstdint>

namespace penstock_client {

// The bits of a number as IEEE 754 has them (binary16): memory with such numbers of another library
// can be viewed as Float16. Plain data.
struct Float16 {
  Float16() = default;
  // Rounds to the nearest one, ties to even; infinity if it is too large.
  explicit Float16(float value);
  explicit operator float() const;

  friend bool operator==(Float16, Float16) = default;  // compares the bits

  uint16_t bits = 0;
};
static_assert(sizeof(Float16) == 2);

}  // namespace penstock_client
