// SPDX-License-Identifier: Apache-2.0
#include "net/headers.h"

#include <gtest/gtest.h>

namespace penstock::net {
namespace {

TEST(HeadersTest, AreFoundWithoutCase) {
  const Header headers[] = {{"Content-Type", "a"}, {"X-Y", "b"}, {"x-y", "c"}};
  EXPECT_EQ(FindHeader(headers, "content-type"), "a");
  EXPECT_EQ(FindHeader(headers, "x-y"), "b");
  EXPECT_EQ(FindHeader(headers, "x-z"), "");
  EXPECT_FALSE(EqualsIgnoringCase("@", "`"));  // differ in the bit that tells cases of letters
}

}  // namespace
}  // namespace penstock::net
