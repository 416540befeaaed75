// SPDX-License-Identifier: Apache-2.0
#include "base/encoding/hex.h"

#include <gtest/gtest.h>

#include <array>

namespace penstock {
namespace {

TEST(HexTest, EachByteIsTwoDigits) {
  std::string text = "0x";
  AppendHex(text, std::array<uint8_t, 4>{0x00, 0x0F, 0xA5, 0xFF});
  EXPECT_EQ(text, "0x000fa5ff");
}

TEST(HexTest, ReadsAsManyBytesAsAreAskedFor) {
  std::array<uint8_t, 2> bytes{};
  EXPECT_TRUE(ReadHex("0fa5 and more", bytes));
  EXPECT_EQ(bytes, (std::array<uint8_t, 2>{0x0F, 0xA5}));
}

TEST(HexTest, OtherCharactersAreRefused) {
  std::array<uint8_t, 1> bytes{};
  for (const char* text : {"0g", "g0", "A0", " 0", "0:", "0/"})
    EXPECT_FALSE(ReadHex(text, bytes)) << text;
}

}  // namespace
}  // namespace penstock
