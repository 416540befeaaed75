// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace penstock {
namespace {

TEST(Utf8Test, TextThatIsUtf8StaysAsItIs) {
  for (const std::string_view text : {"", "plain", "Größe 北京", "\xF0\x9F\x98\x80"}) {
    EXPECT_EQ(ToUtf8(text), text);
    EXPECT_TRUE(IsUtf8(text)) << text;
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
    EXPECT_FALSE(IsUtf8(bytes)) << text;
    // Eight bytes at a time: the wrong one may be in each place.
    for (size_t before = 0; before < 9; ++before)
      EXPECT_FALSE(IsUtf8(std::string(before, 'a').append(bytes).append(9, 'a'))) << text;
  }
}

TEST(Utf8Test, ValueIsTheCodePoint) {
  EXPECT_EQ(Utf8Value("a"), U'a');
  EXPECT_EQ(Utf8Value("\u0085"), 0x85u);
  EXPECT_EQ(Utf8Value("\u00FC"), 0xFCu);
  EXPECT_EQ(Utf8Value("\u202E"), 0x202Eu);
  EXPECT_EQ(Utf8Value("\U0001F600"), 0x1F600u);
}

TEST(Utf8Test, ControlsEndALineOrCommandATerminalOrTurnText) {
  for (const char32_t value :
       {0x00,   0x0A,   0x1B,   0x1F,   0x7F,   0x80,   0x85,   0x9B,   0x9F,    0x61C,  0x200E,
        0x200F, 0x2028, 0x2029, 0x202A, 0x202E, 0x2066, 0x2069, 0xFEFF, 0xE0001, 0xE007F})
    EXPECT_TRUE(IsControl(value)) << static_cast<uint32_t>(value);
  for (const char32_t value : {0x20, 0x7E, 0xA0, 0xFC, 0x61B, 0x200D, 0x2010, 0x2027, 0x202F,
                               0x2065, 0x206A, 0xFEFE, 0xFFFD, 0x1F600, 0xE0080})
    EXPECT_FALSE(IsControl(value)) << static_cast<uint32_t>(value);
}

}  // namespace
}  // namespace penstock
