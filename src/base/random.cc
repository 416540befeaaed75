// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <random>

namespace penstock {
namespace {

// Zero: not yet seeded. The generator never gives zero.
constinit thread_local uint64_t state = 0;

uint64_t Seed() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) | 1;
}

}  // namespace

uint64_t RandomBits() {
  if (state == 0) [[unlikely]]
    state = Seed();
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545F4914F6CDD1D;
}

}  // namespace penstock
