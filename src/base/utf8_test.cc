// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Utf8Test, TextThatIsUtf8StaysAsItIs) {
  for (const std::string_view text : {"", "plain", "Größe 北京", "\xF0\x9F\x98\x80"}) {
    EXPECT_EQ(ToUtf8(text), text);
  }
}

TEST(Utf8Test, InvalidBytesAreReplacedOneByOne) {
  const std::pair<std::string_view, std::string_view> kTexts[] = {
      {"a\xFF"
       "b",
       "a\uFFFDb"},                                      // never a first byte
      {"\xC3", "\uFFFD"},                                // cut
      {"\xC0\xAF", "\uFFFD\uFFFD"},                      // overlong
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},            // a surrogate
      {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // beyond the last one
      {"\x80"
       "x",
       "\uFFFDx"}};
  for (const auto& [bytes, text] : kTexts) {
    EXPECT_EQ(ToUtf8(bytes), text);
  }
}

}  // namespace
}  // namespace penstock
