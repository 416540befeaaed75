// SPDX-License-Identifier: Apache-2.0
// Random numbers that need not be secret.
#pragma once

#include <cstdint>

namespace penstock {

// Returns a random number, never zero. Thread-safe: each thread has its own numbers, and takes no
// lock. A reader of some of them can compute the next ones. Source: Vigna, "An experimental
// exploration of Marsaglia's xorshift generators, scrambled" (xorshift64*).
uint64_t RandomBits();

}  // namespace penstock
