// SPDX-License-Identifier: Apache-2.0
#include "bench/latencies.h"

#include <gtest/gtest.h>

namespace penstock::bench {
namespace {

using std::chrono::microseconds;

TEST(LatenciesTest, PercentilesAreNearestRanks) {
  Latencies times;
  for (int us = 1000; us >= 1; --us) times.Add(microseconds(us));
  EXPECT_EQ(times.count(), 1000u);
  EXPECT_EQ(times.Percentile(0), 1);
  EXPECT_EQ(times.Percentile(50), 500);
  EXPECT_EQ(times.Percentile(90), 900);
  EXPECT_EQ(times.Percentile(99), 990);
  EXPECT_EQ(times.Percentile(99.9), 999);
  EXPECT_EQ(times.Percentile(99.91), 1000);
  EXPECT_EQ(times.Percentile(100), 1000);
  EXPECT_EQ(times.Mean(), 500.5);
}

TEST(LatenciesTest, FewOrNoTimes) {
  Latencies times;
  EXPECT_EQ(times.Percentile(99), 0);
  EXPECT_EQ(times.Mean(), 0);
  times.Add(microseconds(7));
  EXPECT_EQ(times.Percentile(0), 7);
  EXPECT_EQ(times.Percentile(99.9), 7);
}

TEST(LatenciesTest, TimesCanBeAddedAfterAPercentileWasAsked) {
  Latencies times, others;
  times.Add(microseconds(5));
  EXPECT_EQ(times.Percentile(100), 5);
  times.Add(microseconds(1));
  EXPECT_EQ(times.Percentile(0), 1);
  others.Add(microseconds(9));
  times.Add(others);
  EXPECT_EQ(times.Percentile(100), 9);
  EXPECT_EQ(times.count(), 3u);
}

}  // namespace
}  // namespace penstock::bench
