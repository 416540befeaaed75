// SPDX-License-Identifier: Apache-2.0
// Runs simulations of tests with many seeds, or with those that the environment wants.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/functional/function_ref.h"
#include "base/sanitized.h"

namespace penstock::schedule {

// `simulate` returns the first broken promise of a seed; empty: none. PENSTOCK_SIM_SEED=N runs one
// seed, PENSTOCK_SIM_SEEDS=N so many of them; else there are `seeds_usual`, and fewer with a
// sanitizer.
inline void ExpectAllSeedsHold(absl::FunctionRef<std::string(uint64_t)> simulate,
                               uint64_t seeds_usual = 2000) {
  const auto from_environment = [](const char* name, uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
  };
  if (const uint64_t seed = from_environment("PENSTOCK_SIM_SEED", 0); seed != 0) {
    EXPECT_EQ(simulate(seed), "");
    return;
  }
  const uint64_t seeds =
      from_environment("PENSTOCK_SIM_SEEDS", kIsSanitized ? seeds_usual * 3 / 20 : seeds_usual);
  for (uint64_t seed = 1; seed <= seeds; ++seed) ASSERT_EQ(simulate(seed), "");
}

}  // namespace penstock::schedule
