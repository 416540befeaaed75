// SPDX-License-Identifier: Apache-2.0
#include "net/grpc/wire.h"

#include <gtest/gtest.h>

#include <string>

namespace penstock::net {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(GrpcTimeout, TakesEveryUnit) {
  EXPECT_EQ(ParseGrpcTimeout("2H"), hours(2));
  EXPECT_EQ(ParseGrpcTimeout("3M"), minutes(3));
  EXPECT_EQ(ParseGrpcTimeout("4S"), seconds(4));
  EXPECT_EQ(ParseGrpcTimeout("250m"), milliseconds(250));
  EXPECT_EQ(ParseGrpcTimeout("99999999u"), microseconds(99'999'999));
  EXPECT_EQ(ParseGrpcTimeout("0n"), nanoseconds(0));
}

TEST(GrpcTimeout, CapsWhatWouldOverflow) {
  EXPECT_EQ(ParseGrpcTimeout("99999999H"), kGrpcTimeoutMax);
  EXPECT_EQ(ParseGrpcTimeout("99999999M"), kGrpcTimeoutMax);
}

TEST(GrpcTimeout, RefusesWhatIsMalformed) {
  for (const char* bad : {"", "S", "5", "123456789S", "-1S", "1.5S", "1s", "1 S", "+1S", "1h"})
    EXPECT_EQ(ParseGrpcTimeout(bad), std::nullopt) << bad;
}

TEST(GrpcMessage, EncodesWhatIsNotPrintable) {
  EXPECT_EQ(EncodeGrpcMessage("no such model: a"), "no such model: a");
  EXPECT_EQ(EncodeGrpcMessage("100%\t\xc3\xa4~\x7f"), "100%25%09%C3%A4~%7F");
  EXPECT_EQ(EncodeGrpcMessage(std::string_view("\0", 1)), "%00");
}

TEST(GrpcMessage, IsCutBetweenCharacters) {
  const std::string plain = EncodeGrpcMessage(std::string(10'000, 'x'));
  EXPECT_LE(plain.size(), kGrpcMessageBytesMax);
  EXPECT_TRUE(plain.ends_with("x..."));
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "\xe2\x82\xac";
  const std::string encoded = EncodeGrpcMessage(text);
  EXPECT_LE(encoded.size(), kGrpcMessageBytesMax);
  EXPECT_TRUE(encoded.ends_with("%E2%82%AC...")) << encoded.substr(encoded.size() - 30);
}

TEST(GrpcMessage, IsCutEvenIfItIsNoUtf8) {
  const std::string encoded = EncodeGrpcMessage(std::string(10'000, '\x80'));
  EXPECT_LE(encoded.size(), kGrpcMessageBytesMax);
  EXPECT_GT(encoded.size(), kGrpcMessageBytesMax - 32);
}

TEST(GrpcPrefix, IsBigEndian) {
  const auto prefix = MakeGrpcPrefix(true, 0x01020304);
  EXPECT_EQ(prefix,
            (std::array{std::byte{1}, std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}}));
}

TEST(GrpcContentType, NeedsTheWholeWord) {
  EXPECT_TRUE(IsGrpcContentType("application/grpc"));
  EXPECT_TRUE(IsGrpcContentType("application/grpc+proto"));
  EXPECT_TRUE(IsGrpcContentType("application/grpc;charset=utf-8"));
  EXPECT_FALSE(IsGrpcContentType("application/grpc-web"));
  EXPECT_FALSE(IsGrpcContentType("application/json"));
  EXPECT_FALSE(IsGrpcContentType(""));
}

TEST(Lists, AreSearchedByItem) {
  EXPECT_TRUE(ListContains("identity,gzip", "gzip"));
  EXPECT_TRUE(ListContains(" gzip , deflate", "gzip"));
  EXPECT_FALSE(ListContains("x-gzip,deflate", "gzip"));
  EXPECT_FALSE(ListContains("", "gzip"));
}

TEST(GrpcTimeout, FormatsWhatItReads) {
  using namespace std::chrono_literals;
  EXPECT_EQ(FormatGrpcTimeout(5ns), "5n");
  EXPECT_EQ(FormatGrpcTimeout(50ms), "50000000n");
  EXPECT_EQ(FormatGrpcTimeout(1s), "1000000u");
  EXPECT_EQ(FormatGrpcTimeout(10min), "600000m");
  EXPECT_EQ(FormatGrpcTimeout(-1s), "1n") << "a deadline that has passed";
  for (const Duration timeout :
       {Duration(1ns), Duration(123456789ns), Duration(99h), kGrpcTimeoutMax, Duration::max()}) {
    const auto parsed = ParseGrpcTimeout(FormatGrpcTimeout(timeout));
    ASSERT_TRUE(parsed);
    EXPECT_LE(*parsed, timeout);
  }
}

TEST(GrpcMessage, Decodes) {
  EXPECT_EQ(DecodeGrpcMessage("a%20b%e2%82%ac"), "a b\u20ac");
  EXPECT_EQ(DecodeGrpcMessage("100% of %4"), "100% of %4");
  EXPECT_EQ(DecodeGrpcMessage("%zz%"), "%zz%");
  const std::string odd = "50 % \n\x01 \u00fc";
  EXPECT_EQ(DecodeGrpcMessage(EncodeGrpcMessage(odd)), odd);
}

}  // namespace
}  // namespace penstock::net
