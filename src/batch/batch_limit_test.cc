// SPDX-License-Identifier: Apache-2.0
#include "batch/batch_limit.h"

#include <gtest/gtest.h>

#include <functional>

namespace penstock::batch {
namespace {

using Cost = std::function<double(int64_t)>;  // of a batch of so many rows, in microseconds

// Runs full batches, as if more requests waited than fit.
int64_t LimitAfter(BatchLimit& limit, const Cost& cost, int batches = 60) {
  for (int i = 0; i < batches; ++i) {
    const int64_t rows = limit.rows();
    limit.Record(rows, Duration(static_cast<int64_t>(cost(rows) * 1000)));
  }
  return limit.rows();
}

TEST(BatchLimitTest, GrowsWhileARowGetsCheaper) {
  BatchLimit fixed_cost;
  EXPECT_EQ(fixed_cost.rows(), 16);
  // A fixed part of 100 us: the time per row falls by less than 1 % above 512 rows.
  EXPECT_EQ(LimitAfter(fixed_cost, [](int64_t n) { return 100 + 10.0 * n; }), 512);
  BatchLimit constant;
  EXPECT_EQ(LimitAfter(constant, [](int64_t) { return 100; }), kBatchRowsMax);
  BatchLimit small(48);
  EXPECT_EQ(LimitAfter(small, [](int64_t) { return 100; }), 48);
  BatchLimit one(1);
  EXPECT_EQ(LimitAfter(one, [](int64_t) { return 100; }), 1);
}

TEST(BatchLimitTest, ShrinksIfSmallBatchesAreAsCheap) {
  BatchLimit limit;
  const Cost no_gain = [](int64_t n) { return 50.0 * n; };
  for (const int64_t rows : {1, 2, 4, 8}) limit.Record(rows, std::chrono::microseconds(50 * rows));
  EXPECT_EQ(LimitAfter(limit, no_gain), 1);
}

TEST(BatchLimitTest, StaysBelowTheSizeAtWhichARowGetsDearer) {
  BatchLimit limit;
  // The cache is full with more than 64 rows.
  EXPECT_EQ(LimitAfter(limit, [](int64_t n) { return 200 + n * (n > 64 ? 20.0 : 2.0); }), 64);
}

TEST(BatchLimitTest, TriesALargerSizeAgain) {
  BatchLimit limit;
  bool is_slow = true;
  const Cost cost = [&](int64_t n) { return 200 + n * (is_slow && n > 64 ? 20.0 : 2.0); };
  EXPECT_EQ(LimitAfter(limit, cost), 64);
  is_slow = false;
  EXPECT_GE(LimitAfter(limit, cost, 2000), 128);
}

TEST(BatchLimitTest, KeepsTheCurve) {
  BatchLimit limit;
  limit.Record(1, std::chrono::microseconds(8));
  limit.Record(3, std::chrono::microseconds(12));
  limit.Record(0, std::chrono::microseconds(1));
  const std::vector<BatchTime> curve = limit.Curve();
  ASSERT_EQ(curve.size(), 2U);
  EXPECT_EQ(curve[0].rows_max, 1);
  EXPECT_EQ(curve[0].row_time_ns, 8000);
  EXPECT_EQ(curve[1].rows_max, 4);
  EXPECT_EQ(curve[1].row_time_ns, 4000);
}

}  // namespace
}  // namespace penstock::batch
