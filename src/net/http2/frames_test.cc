// SPDX-License-Identifier: Apache-2.0
#include "net/http2/frames.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <string>

#include "net/http2/client_fake.h"

namespace penstock::net {
namespace {

constexpr std::string_view kClientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kHeaderBlockMax = 10'000;
constexpr uint8_t kEndHeaders = NGHTTP2_FLAG_END_HEADERS;
constexpr uint8_t kEndBoth = NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM;

std::string Frame(size_t length, uint8_t type, uint8_t flags, uint32_t id) {
  return FrameHeader(length, type, flags, id) + std::string(length, '\0');
}

// A connection after its preface. One thread.
class Http2FrameCheckTest : public testing::Test {
 protected:
  Http2FrameCheckTest() { EXPECT_EQ(Check(std::string(kClientPreface)), 0u); }

  // Returns the error code of the violation, or 0.
  uint32_t Check(const std::string& bytes) {
    const auto violation = check_.Check(std::as_bytes(std::span(bytes.data(), bytes.size())));
    if (violation) at_ = violation->at;
    return violation ? violation->error_code : 0;
  }

  Http2FrameCheck check_{kHeaderBlockMax};
  size_t at_ = 0;
};

TEST_F(Http2FrameCheckTest, AcceptsFramesHoweverTheyCome) {
  const std::string text = Frame(20, NGHTTP2_HEADERS, kEndHeaders, 1) +
                           Frame(100, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1) +
                           Frame(8, NGHTTP2_PING, 0, 0) + Frame(20, NGHTTP2_HEADERS, kEndBoth, 3);
  for (const char c : text) EXPECT_EQ(Check(std::string(1, c)), 0u);
}

TEST_F(Http2FrameCheckTest, SaysWhereTheValidBytesEnd) {
  const std::string valid = Frame(20, NGHTTP2_HEADERS, kEndBoth, 1);
  EXPECT_EQ(Check(valid + Frame(10, NGHTTP2_DATA, 0, 1)), NGHTTP2_STREAM_CLOSED);
  EXPECT_EQ(at_, valid.size());
}

TEST_F(Http2FrameCheckTest, KnowsThatAHeaderBlockIsOpen) {
  EXPECT_EQ(Check(Frame(20, NGHTTP2_HEADERS, 0, 1)), 0u);
  EXPECT_TRUE(check_.is_inside_header_block());
  EXPECT_EQ(Check(Frame(20, NGHTTP2_CONTINUATION, kEndHeaders, 1)), 0u);
  EXPECT_FALSE(check_.is_inside_header_block());
}

TEST_F(Http2FrameCheckTest, LimitsAHeaderBlock) {
  EXPECT_EQ(Check(Frame(9000, NGHTTP2_HEADERS, 0, 1)), 0u);
  EXPECT_EQ(Check(Frame(2000, NGHTTP2_CONTINUATION, kEndHeaders, 1)), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2FrameCheckTest, RefusesDataOnAStreamThatHasEnded) {
  EXPECT_EQ(Check(Frame(20, NGHTTP2_HEADERS, kEndBoth, 1)), 0u);
  EXPECT_EQ(Check(Frame(10, NGHTTP2_DATA, 0, 1)), NGHTTP2_STREAM_CLOSED);
}

TEST_F(Http2FrameCheckTest, AnAllowanceComesBackWithTime) {
  const std::string ping = Frame(8, NGHTTP2_PING, 0, 0);
  for (uint32_t i = 0; i < kPingsAllowed.at_once; ++i) ASSERT_EQ(Check(ping), 0u);
  check_.OnSecond();
  for (uint32_t i = 0; i < kPingsAllowed.per_second; ++i) ASSERT_EQ(Check(ping), 0u);
  EXPECT_EQ(Check(ping), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2FrameCheckTest, AnswersToPingsThatWereNeverSentAreAFlood) {
  const std::string answer = Frame(8, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0);
  for (uint32_t i = 0; i < kPingsAllowed.at_once; ++i) ASSERT_EQ(Check(answer), 0u);
  EXPECT_EQ(Check(answer), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2FrameCheckTest, FramesOfUnknownTypesAreAFlood) {
  const std::string unknown = Frame(8, 0xfa, 0, 0);
  for (uint32_t i = 0; i < kPrioritiesAllowed.at_once; ++i) ASSERT_EQ(Check(unknown), 0u);
  EXPECT_EQ(Check(unknown), NGHTTP2_ENHANCE_YOUR_CALM);
}

// A grpcio client whose calls all fail sends two of them for each call.
TEST_F(Http2FrameCheckTest, AnswersWithoutDataExplainWindowUpdates) {
  const std::string update = Frame(4, NGHTTP2_WINDOW_UPDATE, 0, 0);
  for (uint32_t i = 0; i < 5 * kWindowUpdatesAllowed.at_once; ++i) {
    check_.OnFrameSent();  // the trailers of an error
    ASSERT_EQ(Check(update + update), 0u);
  }
  for (uint32_t i = 2; i < kWindowUpdatesAllowed.at_once; ++i) ASSERT_EQ(Check(update), 0u);
  EXPECT_EQ(Check(update), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2FrameCheckTest, CompleteRequestsExplainRefusedOnes) {
  for (uint32_t i = 0; i < kBeginsRefusedAllowed.at_once; ++i) ASSERT_TRUE(check_.OnBeginRefused());
  EXPECT_FALSE(check_.OnBeginRefused());
  check_.OnRequestComplete();
  EXPECT_TRUE(check_.OnBeginRefused());
}

}  // namespace
}  // namespace penstock::net
