// SPDX-License-Identifier: Apache-2.0
#include "schedule/retry_hint.h"

#include <gtest/gtest.h>

namespace penstock::schedule {
namespace {

TEST(RetryHintTest, IsKeptInTheStatus) {
  Status status = absl::UnavailableError("busy");
  EXPECT_EQ(RetryHintOf(status), std::nullopt);
  SetRetryHint(status, std::chrono::seconds(17));
  const Status copy = status;
  EXPECT_EQ(RetryHintOf(copy), std::chrono::seconds(17));
  EXPECT_EQ(MessageOf(copy), "busy");
}

}  // namespace
}  // namespace penstock::schedule
