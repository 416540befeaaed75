// SPDX-License-Identifier: Apache-2.0
#include "base/calls/trace_ids.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace penstock {
namespace {

// The example of the standard.
constexpr std::string_view kExample = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceIdsTest, ReadsAndWritesTheExampleOfTheStandard) {
  const auto parent = ParseTraceParent(kExample);
  ASSERT_TRUE(parent);
  EXPECT_TRUE(parent->is_sampled);
  EXPECT_EQ(parent->trace[0], 0x4b);
  const TraceIds ids{.trace = parent->trace, .parent = {}, .span = parent->span, .state = {}};
  EXPECT_EQ(ids.TraceParent(), kExample);
}

TEST(TraceIdsTest, TheLastBitOfTheFlagsSaysWhetherItIsSampled) {
  std::string text(kExample);
  for (const auto& [flags, is_sampled] : {std::pair("00", false), {"fe", false}, {"ff", true}}) {
    text.replace(53, 2, flags);
    ASSERT_TRUE(ParseTraceParent(text)) << text;
    EXPECT_EQ(ParseTraceParent(text)->is_sampled, is_sampled) << text;
  }
}

TEST(TraceIdsTest, ALaterVersionMayBeLonger) {
  EXPECT_TRUE(ParseTraceParent("cc" + std::string(kExample.substr(2)) + "-what-comes"));
  EXPECT_FALSE(ParseTraceParent("cc" + std::string(kExample.substr(2)) + "x"));
  EXPECT_FALSE(ParseTraceParent(std::string(kExample) + "-x"));
}

TEST(TraceIdsTest, OtherTextIsNone) {
  for (const std::string_view text :
       {"", "00-", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01"})
    EXPECT_FALSE(ParseTraceParent(text)) << text;
}

}  // namespace
}  // namespace penstock
