// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <gtest/gtest.h>

#include <thread>

namespace penstock {
namespace {

TEST(RandomTest, NumbersDiffer) { EXPECT_NE(RandomBits(), RandomBits()); }

TEST(RandomTest, ThreadsHaveNumbersOfTheirOwn) {
  uint64_t other = 0;
  std::thread([&other] { other = RandomBits(); }).join();
  EXPECT_NE(other, RandomBits());
}

}  // namespace
}  // namespace penstock
