// SPDX-License-Identifier: Apache-2.0
#include "bench/arrivals.h"

#include <gtest/gtest.h>

#include <vector>

namespace penstock::bench {
namespace {

TEST(PoissonArrivalsTest, TheSameSeedGivesTheSameMoments) {
  PoissonArrivals one(1000, 7), same(1000, 7), other(1000, 8);
  bool differ = false;
  for (int i = 0; i < 100; ++i) {
    const Duration at = one.Next();
    EXPECT_EQ(at, same.Next());
    differ |= at != other.Next();
  }
  EXPECT_TRUE(differ);
}

TEST(PoissonArrivalsTest, TheFirstMomentsAreTheSameOnEveryMachine) {
  PoissonArrivals arrivals(1e9, 1);  // a mean gap of 1 ns
  for (int i = 0; i < 999; ++i) arrivals.Next();
  EXPECT_EQ(arrivals.Next().count(), 934);
}

TEST(PoissonArrivalsTest, GapsAreExponentialAndIndependent) {
  constexpr int kCount = 200'000;
  PoissonArrivals arrivals(1000, 3);
  std::vector<double> gaps_ms;
  Duration last{};
  for (int i = 0; i < kCount; ++i) {
    const Duration at = arrivals.Next();
    ASSERT_GE(at, last);
    gaps_ms.push_back(std::chrono::duration<double, std::milli>(at - last).count());
    last = at;
  }
  double sum = 0, squares = 0, products = 0;
  int long_gaps = 0;
  for (size_t i = 0; i < gaps_ms.size(); ++i) {
    sum += gaps_ms[i];
    squares += gaps_ms[i] * gaps_ms[i];
    if (i > 0) products += (gaps_ms[i] - 1) * (gaps_ms[i - 1] - 1);
    long_gaps += gaps_ms[i] > 3;
  }
  EXPECT_NEAR(sum / kCount, 1, 0.01);
  EXPECT_NEAR(squares / kCount, 2, 0.05);        // the variance of an exponential gap
  EXPECT_NEAR(products / kCount, 0, 0.02);       // one gap says nothing of the next
  EXPECT_NEAR(long_gaps, kCount * 0.0498, 500);  // e^-3 of them
}

}  // namespace
}  // namespace penstock::bench
