// SPDX-License-Identifier: Apache-2.0
#include "base/encoding/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace penstock {
namespace {

// RFC 3720, B.4.
TEST(Crc32cTest, PublishedValues) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
}

TEST(Crc32cTest, InPieces) {
  EXPECT_EQ(Crc32c("6789", Crc32c("12345")), 0xE3069283u);
  EXPECT_EQ(crc32c_internal::Portable("6789", crc32c_internal::Portable("12345")), 0xE3069283u);
}

// Long texts are summed in several parts at the same time.
TEST(Crc32cTest, LongTextsWithAndWithoutTheInstruction) {
  std::string bytes;
  for (uint32_t i = 0; i < 10'000; ++i) bytes += static_cast<char>(i * i / 7);
  for (const size_t size : {3071u, 3072u, 3073u, 6144u, 9000u, 10'000u}) {
    const std::string_view text = std::string_view(bytes).substr(10'000 - size);
    EXPECT_EQ(Crc32c(text), crc32c_internal::Portable(text)) << size;
    EXPECT_EQ(Crc32c(text, 123), crc32c_internal::Portable(text, 123)) << size;
  }
}

TEST(Crc32cTest, WithAndWithoutTheInstruction) {
  std::string bytes;
  for (int i = 0; i < 200; ++i) {
    for (size_t begin = 0; begin < 9 && begin <= bytes.size(); ++begin) {
      const std::string_view part = std::string_view(bytes).substr(begin);
      ASSERT_EQ(Crc32c(part), crc32c_internal::Portable(part)) << i << " from " << begin;
    }
    bytes.push_back(static_cast<char>(i * 37 + 11));
  }
}

}  // namespace
}  // namespace penstock
