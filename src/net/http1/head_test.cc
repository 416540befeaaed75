// SPDX-License-Identifier: Apache-2.0
#include "net/http1/head.h"

#include <gtest/gtest.h>

#include <string>

namespace penstock::net {
namespace {

constexpr size_t kHeadMax = 2000;

// One parser for many heads. One thread.
class Http1HeadParserTest : public testing::Test {
 protected:
  using Result = Http1HeadParser::Result;

  Result Parse(std::string_view text) {
    storage_.Clear();
    head_ = {};
    parser_.Start(storage_);
    const Result result = parser_.Parse(text);
    if (result == Result::kDone) parser_.FillHead(head_);
    return result;
  }

  HeadStorage storage_;
  Http1HeadParser parser_{kHeadMax};
  RequestHead head_;
};

TEST_F(Http1HeadParserTest, ReadsARequest) {
  const std::string text =
      "POST /v1/models/m:predict?a=b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 12\r\nX-A:  b "
      "\r\n\r\n";
  ASSERT_EQ(Parse(text + "body"), Result::kDone);
  EXPECT_EQ(parser_.head_bytes(), text.size());
  EXPECT_EQ(head_.method, "POST");
  EXPECT_EQ(head_.path, "/v1/models/m:predict");
  EXPECT_EQ(head_.query, "a=b");
  EXPECT_EQ(head_.authority, "h:1");
  EXPECT_EQ(FindHeader(head_.headers, "x-a"), "b");
  EXPECT_EQ(parser_.content_length(), 12u);
  EXPECT_FALSE(parser_.is_chunked());
  EXPECT_TRUE(parser_.keep_alive());
}

TEST_F(Http1HeadParserTest, KnowsWhatTheClientAsksFor) {
  ASSERT_EQ(Parse("GET / HTTP/1.0\r\n\r\n"), Result::kDone);
  EXPECT_TRUE(parser_.is_http10());
  EXPECT_FALSE(parser_.keep_alive());
  EXPECT_EQ(parser_.content_length(), std::nullopt);
  ASSERT_EQ(Parse("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), Result::kDone);
  EXPECT_FALSE(parser_.keep_alive());
  ASSERT_EQ(Parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
                  "Expect: 100-continue\r\n\r\n"),
            Result::kDone);
  EXPECT_TRUE(parser_.is_chunked());
  EXPECT_TRUE(parser_.expects_continue());
}

TEST_F(Http1HeadParserTest, WaitsForTheWholeHead) {
  const std::string text = "GET /a HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n";
  parser_.Start(storage_);
  for (size_t size = 1; size < text.size(); ++size)
    ASSERT_EQ(parser_.Parse(std::string_view(text).substr(0, size)), Result::kMore) << size;
  EXPECT_EQ(parser_.Parse(text), Result::kDone);
}

TEST_F(Http1HeadParserTest, RefusesWhatTwoServersMightReadDifferently) {
  for (const char* fields :
       {"Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: -1\r\n",
        "Content-Length: +1\r\n", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n", "Host : h\r\n", " Folded: x\r\n", "Bad Name: x\r\n"}) {
    const std::string text = std::string("POST / HTTP/1.1\r\nHost: h\r\n") + fields + "\r\n";
    EXPECT_EQ(Parse(text), Result::kBad) << fields;
    EXPECT_GE(parser_.error_status(), 400) << fields;
    EXPECT_FALSE(parser_.error_message().empty()) << fields;
  }
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\n\r\n"), Result::kBad);  // no Host
}

TEST_F(Http1HeadParserTest, LimitsTheHead) {
  const std::string long_field = "X-A: " + std::string(kHeadMax, 'a') + "\r\n";
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\nHost: h\r\n" + long_field + "\r\n"), Result::kBad);
  EXPECT_EQ(parser_.error_status(), 431);
}

}  // namespace
}  // namespace penstock::net
