// SPDX-License-Identifier: Apache-2.0
#include "s3/content_range.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(ContentRangeTest, PartsOfAnObject) {
  const auto range = ParseContentRange("bytes 2-4/5");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 2U);
  EXPECT_EQ(range->last, 4U);
  EXPECT_EQ(range->total, 5U);
  const auto open = ParseContentRange("bytes 0-18446744073709551614/*");
  ASSERT_TRUE(open);
  EXPECT_EQ(open->last, 18446744073709551614U);
  EXPECT_FALSE(open->total);
}

TEST(ContentRangeTest, WhatIsNone) {
  for (const char* text :
       {"", "bytes", "bytes ", "bytes */5", "bytes 2-4", "bytes 2-4/", "bytes 2-4/x",
        "bytes 2-4/5x", "bytes 4-2/5", "bytes 2-4/4", "bytes -4/5", "bytes 2-/5", "bytes +2-4/5",
        "bytes 2 - 4/5", "rows 2-4/5", "bytes 2-4/**", "bytes 0-18446744073709551616/*"}) {
    EXPECT_FALSE(ParseContentRange(text)) << text;
  }
}

}  // namespace
}  // namespace penstock
