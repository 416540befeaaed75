// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs_json/json_number.h"

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "tensor/half.h"

namespace penstock::tfs_json {
namespace {

// The text with bytes behind it that would continue the number, as in a reused buffer.
struct Padded {
  explicit Padded(std::string_view text) : bytes(text), size(text.size()) { bytes.append(64, ' '); }
  std::string bytes;
  size_t size;
  const char* begin() const { return bytes.data(); }
  const char* end() const { return bytes.data() + size; }
};

bool Read(std::string_view text, Decimal& out) {
  static std::string kept;
  const Padded padded(text);
  kept = padded.bytes;
  return ReadDecimal(kept.data(), kept.data() + text.size(), out);
}

float Float32(std::string_view text) {
  Decimal decimal;
  EXPECT_TRUE(Read(text, decimal)) << text;
  EXPECT_EQ(decimal.text(), text);
  return ToFloat32(decimal);
}

double Float64(std::string_view text) {
  Decimal decimal;
  EXPECT_TRUE(Read(text, decimal)) << text;
  EXPECT_EQ(decimal.text(), text);
  return ToFloat64(decimal);
}

TEST(JsonNumber, RejectsTextThatIsNoNumber) {
  Decimal decimal;
  for (const char* text : {"",
                           "-",
                           "+1",
                           ".5",
                           "-.5",
                           "1.",
                           "1.e5",
                           "01",
                           "-01",
                           "00.5",
                           "1e",
                           "1e+",
                           "1e-",
                           "1.5e",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "x",
                           "-x",
                           "\"1\"",
                           "123456789012345678.",
                           "000000000000000001",
                           "1.2345678901234567e"}) {
    EXPECT_FALSE(Read(text, decimal)) << text;
  }
}

TEST(JsonNumber, StopsAfterTheNumber) {
  Decimal decimal;
  ASSERT_TRUE(Read("12,3", decimal));
  EXPECT_EQ(decimal.text(), "12");
  EXPECT_TRUE(decimal.integer);
  ASSERT_TRUE(Read("-1.5.3", decimal));
  EXPECT_EQ(decimal.text(), "-1.5");
  ASSERT_TRUE(Read("-0.25]", decimal));
  EXPECT_EQ(decimal.digits, 25u);
  EXPECT_EQ(decimal.exponent, -2);
  EXPECT_TRUE(decimal.negative);
  EXPECT_FALSE(decimal.integer);
}

TEST(JsonNumber, ReadsEveryLengthOfDigits) {
  for (int whole = 1; whole <= 25; ++whole) {
    for (int fraction = 0; fraction <= 25; ++fraction) {
      std::string text = std::string("1234567890123456789012345").substr(0, whole);
      if (fraction > 0) text += "." + std::string("9876543210987654321098765").substr(0, fraction);
      float expected32;
      double expected64;
      std::from_chars(text.data(), text.data() + text.size(), expected32);
      std::from_chars(text.data(), text.data() + text.size(), expected64);
      EXPECT_EQ(Float32(text), expected32) << text;
      EXPECT_EQ(Float64("-" + text), -expected64) << text;
    }
  }
}

TEST(JsonNumber, RoundsFloatsOnceOnly) {
  // Between two floats, exactly and by less than a double can tell.
  EXPECT_EQ(Float32("16777217"), 16777216.0F);
  EXPECT_EQ(Float32("16777219"), 16777220.0F);
  EXPECT_EQ(Float32("16777217.000000000000001"), 16777218.0F);
  EXPECT_EQ(Float32("1.00000005960464477539062500000000001"), 1.00000012F);
  EXPECT_EQ(Float32("1.000000059604644775390625"), 1.0F);
  EXPECT_EQ(Float32("1.0000000596046447753906249999999"), 1.0F);
}

TEST(JsonNumber, AgreesWithTheStandardLibrary) {
  std::mt19937_64 random(20);
  for (int i = 0; i < 20000; ++i) {
    char text[64];
    float value32 = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isfinite(value32)) {
      const auto done = std::to_chars(text, text + sizeof(text), value32);
      EXPECT_EQ(Float32({text, done.ptr}), value32);
    }
    const double value64 = std::bit_cast<double>(random());
    if (std::isfinite(value64)) {
      const auto done = std::to_chars(text, text + sizeof(text), value64);
      EXPECT_EQ(Float64({text, done.ptr}), value64);
    }
    const double unit = static_cast<double>(random()) / 1.8446744073709552e19;
    const auto done = std::to_chars(text, text + sizeof(text), unit);
    std::from_chars(text, done.ptr, value32);
    EXPECT_EQ(Float32({text, done.ptr}), value32);
    EXPECT_EQ(Float64({text, done.ptr}), unit);
  }
}

TEST(JsonNumber, OutOfRangeIsInfinityOrZero) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Float32("1e39"), kInfinity);
  EXPECT_EQ(Float32("-3.5e38"), -kInfinity);
  EXPECT_EQ(Float32("1e999999999999999999999"), kInfinity);
  EXPECT_EQ(Float32("1e-999999999999999999999"), 0.0F);
  EXPECT_EQ(Float32("0e999999999999999999999"), 0.0F);
  EXPECT_EQ(Float32("1e-60"), 0.0F);
  EXPECT_EQ(Float32("0." + std::string(500, '0') + "1e510"), 1e9F);
  EXPECT_EQ(Float32("1" + std::string(500, '0')), kInfinity);
  EXPECT_EQ(Float64("1e309"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(Float64("-1e-400"), 0.0);
  EXPECT_TRUE(std::signbit(Float64("-1e-400")));
  EXPECT_TRUE(std::signbit(Float32("-0")));
  EXPECT_EQ(Float32("1e-45"), std::numeric_limits<float>::denorm_min());
}

TEST(JsonNumber, Integers) {
  Decimal decimal;
  int64_t value = 0;
  uint64_t positive = 0;
  ASSERT_TRUE(Read("9223372036854775807", decimal));
  EXPECT_TRUE(ToInt64(decimal, value));
  EXPECT_EQ(value, INT64_MAX);
  ASSERT_TRUE(Read("-9223372036854775808", decimal));
  EXPECT_TRUE(ToInt64(decimal, value));
  EXPECT_EQ(value, INT64_MIN);
  EXPECT_FALSE(ToUint64(decimal, positive));
  ASSERT_TRUE(Read("9223372036854775808", decimal));
  EXPECT_FALSE(ToInt64(decimal, value));
  ASSERT_TRUE(Read("18446744073709551615", decimal));
  EXPECT_FALSE(ToInt64(decimal, value));
  EXPECT_TRUE(ToUint64(decimal, positive));
  EXPECT_EQ(positive, UINT64_MAX);
  ASSERT_TRUE(Read("18446744073709551616", decimal));
  EXPECT_FALSE(ToUint64(decimal, positive));
  for (const char* text : {"1.0", "1e2", "-1.5"}) {
    ASSERT_TRUE(Read(text, decimal));
    EXPECT_FALSE(ToInt64(decimal, value)) << text;
    EXPECT_FALSE(ToUint64(decimal, positive)) << text;
  }
}

TEST(JsonNumber, HalfPrecision) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = Float16ToFloat(half);
    if (std::isnan(value)) continue;
    EXPECT_EQ(Float16FromDouble(value), half) << bits;
    const float brain = Bfloat16ToFloat(half);
    if (std::isnan(brain)) continue;
    EXPECT_EQ(Bfloat16FromDouble(brain), half) << bits;
  }
  EXPECT_EQ(Float16FromDouble(1.0 + 0x1p-11), 0x3C00);    // a tie, to even
  EXPECT_EQ(Float16FromDouble(1.0 + 0x1.8p-10), 0x3C02);  // a tie, to even, upwards
  EXPECT_EQ(Float16FromDouble(65519.9), 0x7BFF);
  EXPECT_EQ(Float16FromDouble(-65520), 0xFC00);
  EXPECT_EQ(Float16FromDouble(NAN), 0x7E00);
  EXPECT_EQ(Bfloat16FromDouble(1.0 + 0x1p-8), 0x3F80);
  EXPECT_EQ(Bfloat16FromDouble(1e300), 0x7F80);
  EXPECT_EQ(Bfloat16FromDouble(NAN), 0x7FC0);
}

}  // namespace
}  // namespace penstock::tfs_json
