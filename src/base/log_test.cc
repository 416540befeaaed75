// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

using log_internal::FormatLine;

const std::chrono::system_clock::time_point kTime{std::chrono::milliseconds(1'700'000'000'042)};

TEST(LogTest, TextLineHasTimeLevelAndMessage) {
  EXPECT_EQ(FormatLine(LogFormat::kText, LogLevel::kInfo, kTime, "ready", std::nullopt),
            "2023-11-14T22:13:20.042Z info    ready\n");
}

TEST(LogTest, TextLineNamesTheRequest) {
  EXPECT_EQ(FormatLine(LogFormat::kText, LogLevel::kWarning, kTime, "bad", 17),
            "2023-11-14T22:13:20.042Z warning request 11: bad\n");
}

TEST(LogTest, TextLineStaysOneLine) {
  EXPECT_EQ(FormatLine(LogFormat::kText, LogLevel::kError, kTime, "a\nb\x1b[0m", std::nullopt),
            "2023-11-14T22:13:20.042Z error   a\\nb\\x1b[0m\n");
}

// Some terminals end a line at U+0085 or U+2028, and U+202E shows the rest of a line backwards.
TEST(LogTest, TextLineEscapesLineSeparatorsAndBidirectionalControls) {
  EXPECT_EQ(FormatLine(LogFormat::kText, LogLevel::kError, kTime,
                       "a\u0085b\u009Bc\u2028d\u2029e\u202Ef\u2066g\u200Fh\u00FC", std::nullopt),
            "2023-11-14T22:13:20.042Z error   "
            "a\\u0085b\\u009bc\\u2028d\\u2029e\\u202ef\\u2066g\\u200fh\u00FC\n");
  EXPECT_EQ(FormatLine(LogFormat::kText, LogLevel::kError, kTime, "a\x9B[0m\xE2\x80", std::nullopt),
            "2023-11-14T22:13:20.042Z error   a\\x9b[0m\\xe2\\x80\n");
}

TEST(LogTest, JsonLine) {
  EXPECT_EQ(FormatLine(LogFormat::kJson, LogLevel::kInfo, kTime, "say \"hi\"\n", 5),
            "{\"time\":\"2023-11-14T22:13:20.042Z\",\"level\":\"info\",\"request_id\":\"5\","
            "\"message\":\"say \\\"hi\\\"\\n\"}\n");
}

std::string Escaped(std::string_view text) {
  std::string to;
  AppendJsonEscaped(to, text);
  return to;
}

TEST(LogTest, JsonEscapesControlCharactersAndBackslashes) {
  EXPECT_EQ(Escaped(std::string_view("\0\x1f\\", 3)), "\\u0000\\u001f\\\\");
}

TEST(LogTest, JsonEscapesLineSeparatorsAndBidirectionalControls) {
  EXPECT_EQ(Escaped("a\x7F\u0085b\u2028c\u202Ed\u2069e\u200E"),
            "a\\u007f\\u0085b\\u2028c\\u202ed\\u2069e\\u200e");
}

TEST(LogTest, JsonKeepsUtf8AndReplacesOtherBytes) {
  EXPECT_EQ(Escaped("\u00e9\u20ac\U0001F600"), "\u00e9\u20ac\U0001F600");
  EXPECT_EQ(Escaped("a\xff"), "a\uFFFD");
  EXPECT_EQ(Escaped("\xc3"), "\uFFFD");                      // cut off
  EXPECT_EQ(Escaped("\xc0\xaf"), "\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(Escaped("\xe0\x80\x80"), "\uFFFD\uFFFD\uFFFD");  // overlong
  EXPECT_EQ(Escaped("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(Escaped("\xf4\x90\x80\x80").size(), 4u * 3u);    // above U+10FFFF
}

TEST(LogTest, LevelDecidesWhatIsEnabled) {
  ConfigureLog(LogLevel::kWarning, LogFormat::kText);
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarning));
  ConfigureLog(LogLevel::kInfo, LogFormat::kText);
}

TEST(LogTest, WritesWholeLinesToStandardError) {
  testing::internal::CaptureStderr();
  PENSTOCK_LOG(kInfo, "model {} is up", "m");
  PENSTOCK_LOG(kDebug, "not this");
  PENSTOCK_LOG_REQUEST(kError, 3, "no");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find(" info    model m is up\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" error   request 3: no\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("not this"), std::string::npos) << text;
}

}  // namespace
}  // namespace penstock
