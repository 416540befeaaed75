// SPDX-License-Identifier: Apache-2.0
#include "base/saturating.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr uint64_t kMax = UINT64_MAX;

TEST(SaturatingTest, SumsSaturateAtTheMaximum) {
  EXPECT_EQ(SaturatingSum(2, 3), 5U);
  EXPECT_EQ(SaturatingSum(kMax - 3, 3), kMax);
  EXPECT_EQ(SaturatingSum(kMax - 3, 2), kMax - 1);
  EXPECT_EQ(SaturatingSum(kMax - 3, 4), kMax);
  EXPECT_EQ(SaturatingSum(kMax, kMax), kMax);
}

TEST(SaturatingTest, DifferencesSaturateAtZero) {
  EXPECT_EQ(SaturatingDifference(5, 3), 2U);
  EXPECT_EQ(SaturatingDifference(3, 3), 0U);
  EXPECT_EQ(SaturatingDifference(3, 5), 0U);
  EXPECT_EQ(SaturatingDifference(0, kMax), 0U);
  EXPECT_EQ(SaturatingDifference(kMax, 0), kMax);
}

TEST(SaturatingTest, ProductsSaturateAtTheMaximum) {
  EXPECT_EQ(SaturatingProduct(6, 7), 42U);
  EXPECT_EQ(SaturatingProduct(kMax, 0), 0U);
  EXPECT_EQ(SaturatingProduct(0, kMax), 0U);
  EXPECT_EQ(SaturatingProduct(kMax / 8, 8), kMax - 7);
  EXPECT_EQ(SaturatingProduct(kMax / 8 + 1, 8), kMax);
  EXPECT_EQ(SaturatingProduct(kMax, kMax), kMax);
}

}  // namespace
}  // namespace penstock
