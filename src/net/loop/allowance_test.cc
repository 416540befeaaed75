// SPDX-License-Identifier: Apache-2.0
#include "net/loop/allowance.h"

#include <gtest/gtest.h>

namespace penstock::net {
namespace {

TEST(AllowanceTest, IsNeverExceededAndAlwaysGivenBack) {
  Allowance total(1000);
  {
    LocalAllowance one(total, 2, 10);
    LocalAllowance other(total, 2, 10);
    uint64_t taken = 0;
    while (one.TryTake(3)) taken += 3;
    while (other.TryTake(3)) taken += 3;
    EXPECT_LE(taken, 1000u);
    EXPECT_GE(taken, 1000u - 1000 / 8);
    other.Give(taken);
    EXPECT_TRUE(one.TryTake(500));
    one.Give(500);
  }
  EXPECT_EQ(total.left(), 1000u);
}

TEST(AllowanceTest, ASmallOneIsExact) {
  Allowance total(2);
  LocalAllowance local(total, 4, 64);
  EXPECT_TRUE(local.TryTake(1));
  EXPECT_TRUE(local.TryTake(1));
  EXPECT_FALSE(local.TryTake(1));
  local.Give(1);
  LocalAllowance other(total, 4, 64);
  EXPECT_TRUE(other.TryTake(1));
}

}  // namespace
}  // namespace penstock::net
