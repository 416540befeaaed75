// SPDX-License-Identifier: Apache-2.0
#include "base/percent.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(PercentTest, DecodesEscapes) {
  const std::pair<std::string_view, std::string_view> kTexts[] = {
      {"", ""},
      {"plain+text", "plain+text"},
      {"a%20b%2Fc", "a b/c"},
      {"%e4%B8%ad", "\xE4\xB8\xAD"},
      {"%2541", "%41"},  // once only
      {"%00", std::string_view("\0", 1)}};
  for (const auto& [text, decoded] : kTexts) {
    EXPECT_EQ(PercentDecoded(text), decoded);
    EXPECT_EQ(PercentDecodedStrictly(text), decoded);
  }
}

TEST(PercentTest, OtherPercentSignsStayOrAreErrors) {
  for (const std::string_view text : {"%", "100%", "%4", "%zz", "%4g", "%g4", "a%-1"}) {
    EXPECT_EQ(PercentDecoded(text), text);
    EXPECT_EQ(PercentDecodedStrictly(text), std::nullopt) << text;
  }
  EXPECT_EQ(PercentDecoded("%%41%4"), "%A%4");
}

}  // namespace
}  // namespace penstock
