// SPDX-License-Identifier: Apache-2.0
#include "s3/retry_after.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(RetryAfterTest, SecondsUpToALimitAndNothingElse) {
  EXPECT_EQ(ParseRetryAfter("0"), Duration::zero());
  EXPECT_EQ(ParseRetryAfter("3"), std::chrono::seconds(3));
  EXPECT_EQ(ParseRetryAfter("86400"), kRetryAfterMax);
  EXPECT_EQ(ParseRetryAfter("99999999999999999999999"), kRetryAfterMax);
  for (const char* none : {"", "-1", "1.5", "3 ", "soon", "Sun, 22 Nov 2026 12:00:00 GMT"}) {
    EXPECT_EQ(ParseRetryAfter(none), Duration::zero()) << none;
  }
}

}  // namespace
}  // namespace penstock
