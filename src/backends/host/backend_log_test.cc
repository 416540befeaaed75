// SPDX-License-Identifier: Apache-2.0
#include "backends/host/backend_log.h"

#include <gtest/gtest.h>

#include <string>

#include "penstock/backend.h"

namespace penstock {
namespace {

using std::chrono::milliseconds;

TEST(RepeatLimitTest, AMessageIsWrittenOnceASecond) {
  RepeatLimit limit;
  const SteadyTime start = FakeClock().Now();
  EXPECT_EQ(limit.Admit("a", start), 0u);
  EXPECT_EQ(limit.Admit("a", start), std::nullopt);
  EXPECT_EQ(limit.Admit("b", start), 0u) << "another message";
  EXPECT_EQ(limit.Admit("a", start + milliseconds(999)), std::nullopt);
  EXPECT_EQ(limit.Admit("a", start + milliseconds(1000)), 2u);
  EXPECT_EQ(limit.Admit("a", start + milliseconds(2000)), 0u);
}

TEST(RepeatLimitTest, ManyMessagesTakeLittleMemoryAndAreWritten) {
  RepeatLimit limit;
  const SteadyTime start = FakeClock().Now();
  for (int i = 0; i < 10'000; ++i) EXPECT_EQ(limit.Admit(std::to_string(i), start), 0u);
  // Those that were remembered have left by now.
  EXPECT_EQ(limit.Admit("new", start + milliseconds(1000)), 0u);
  EXPECT_EQ(limit.Admit("new", start + milliseconds(1000)), std::nullopt);
}

TEST(BackendLogTest, ALineHasTheModelOfItsThread) {
  RepeatLimit limit;
  testing::internal::CaptureStderr();
  {
    const std::string outer = "digits", inner = "other";
    const ModelOnThread model(outer);
    { const ModelOnThread nested(inner); }
    LogOfBackend("tensorflow", PENSTOCK_LOG_WARNING, "slow", limit);
  }
  LogOfBackend("tensorflow", PENSTOCK_LOG_ERROR, "gone", limit);
  LogOfBackend("tensorflow", PENSTOCK_LOG_ERROR, "gone", limit);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("warning tensorflow: model digits: slow\n"), std::string::npos) << text;
  EXPECT_NE(text.find("error   tensorflow: gone\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("gone"), text.rfind("gone"));
}

}  // namespace
}  // namespace penstock
