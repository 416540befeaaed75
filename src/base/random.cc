// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <random>

namespace penstock {

uint64_t RandomBits() {
  static thread_local uint64_t state = [] {
    std::random_device device;
    return (uint64_t{device()} << 32 | device()) | 1;
  }();
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545F4914F6CDD1D;
}

}  // namespace penstock
