// SPDX-License-Identifier: Apache-2.0
#include "net/client/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/metrics/metrics.h"
#include "net/client/peer_fake.h"

namespace penstock::net {
namespace {

using testing::HasSubstr;

ByteChain Message(std::string_view text) { return ByteChain(WholeSlice(CopyToBuffer(text))); }

// A session and its server. One thread.
class ClientSessionTest : public testing::Test {
 protected:
  void TearDown() override { session_.Fail("the test ends"); }

  void Start(uint64_t id, std::string_view message = "abc", UnaryRequest request = {}) {
    request.path = "/pkg.Service/Method";
    request.message = Message(message);
    session_.Start(owner_.Make(id, std::move(request)));
  }
  const UnaryAnswer& Answer(uint64_t id) { return owner_.answers.at(id); }
  bool HasAnswer(uint64_t id) const { return owner_.answers.contains(id); }
  Status Exchange(size_t step = SIZE_MAX) { return peer_.Exchange(session_, step); }

  FakeClock clock_;
  FakeSessionOwner owner_;
  ClientSession session_{owner_, {.authority = "host:8500", .header_bytes_max = 4096}, clock_};
  FakePeer peer_;
};

TEST_F(ClientSessionTest, SendsARequestThatServersUnderstand) {
  UnaryRequest request;
  request.deadline = clock_.Now() + std::chrono::milliseconds(250);
  request.metadata = {{"x-hops", "1"}};
  Start(1, "abc", std::move(request));
  EXPECT_TRUE(owner_.wants_flush);
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_TRUE(session_.is_ready());
  const FakeStream& stream = peer_.streams.at(1);
  EXPECT_TRUE(stream.has_ended);
  EXPECT_EQ(stream.body, FakePeer::Framed("abc"));
  EXPECT_EQ(stream.fields.at(":method"), "POST");
  EXPECT_EQ(stream.fields.at(":scheme"), "http");
  EXPECT_EQ(stream.fields.at(":path"), "/pkg.Service/Method");
  EXPECT_EQ(stream.fields.at(":authority"), "host:8500");
  EXPECT_EQ(stream.fields.at("te"), "trailers");
  EXPECT_EQ(stream.fields.at("content-type"), "application/grpc");
  EXPECT_EQ(stream.fields.at("grpc-timeout"), "250000u");
  EXPECT_EQ(stream.fields.at("x-hops"), "1");
  EXPECT_FALSE(HasAnswer(1));
}

TEST_F(ClientSessionTest, GivesTheMessageOfTheAnswer) {
  for (const size_t step : {size_t{1}, size_t{7}, SIZE_MAX}) {
    Start(step, "abc");
    ASSERT_EQ(Exchange(step), OkStatus());
    peer_.Answer(peer_.streams.rbegin()->first, FakePeer::Framed("the answer"));
    ASSERT_EQ(Exchange(step), OkStatus());
    ASSERT_TRUE(HasAnswer(step));
    EXPECT_EQ(Answer(step).status, OkStatus());
    EXPECT_EQ(Answer(step).message.view(), "the answer");
    EXPECT_TRUE(Answer(step).is_from_server);
  }
  EXPECT_EQ(session_.call_count(), 0U);
}

TEST_F(ClientSessionTest, GivesAnEmptyMessage) {
  Start(1, "");
  ASSERT_EQ(Exchange(), OkStatus());
  peer_.Answer(1, FakePeer::Framed(""));
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(1).status, OkStatus());
  EXPECT_EQ(Answer(1).message.size, 0U);
}

TEST_F(ClientSessionTest, CarriesLargeMessagesThroughSmallWindows) {
  const std::string large(3 << 20, 'x');
  Start(1, large);
  ASSERT_EQ(Exchange(), OkStatus());
  // The server's window is 64 KiB, and it has given nothing back.
  EXPECT_EQ(peer_.streams.at(1).body.size(), 65'535U);
  while (!peer_.streams.at(1).has_ended) {
    nghttp2_session_consume(peer_.ng, 1, 40'000);
    ASSERT_EQ(Exchange(), OkStatus());
  }
  EXPECT_EQ(peer_.streams.at(1).body, FakePeer::Framed(large));
  peer_.Answer(1, FakePeer::Framed(large));
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(1).message.view(), large);
}

TEST_F(ClientSessionTest, LandsTheAnswerWhereItsTensorIsAligned) {
  for (const size_t step : {size_t{1}, size_t{1000}, SIZE_MAX}) {
    UnaryRequest request;
    request.landing = [](std::span<const std::byte> prefix, uint64_t bytes) {
      EXPECT_EQ(prefix.size(), 4096U);
      EXPECT_EQ(bytes, 10'000U);
      return size_t{37};
    };
    Start(step, "a", std::move(request));
    ASSERT_EQ(Exchange(), OkStatus());
    std::string body;
    for (int i = 0; i < 10'000; ++i) body += static_cast<char>(i % 251);
    peer_.Answer(peer_.streams.rbegin()->first, FakePeer::Framed(body));
    ASSERT_EQ(Exchange(step), OkStatus());
    EXPECT_EQ(Answer(step).message.view(), body);
    EXPECT_EQ((reinterpret_cast<uintptr_t>(Answer(step).message.data) + 37) % kBufferAlignment, 0U);
  }
}

TEST_F(ClientSessionTest, GivesTheErrorOfTheServer) {
  Start(1);
  ASSERT_EQ(Exchange(), OkStatus());
  peer_.Answer(1, "", "5", "no model%20%27m%27");
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(1).status.code(), StatusCode::kNotFound);
  EXPECT_EQ(MessageOf(Answer(1).status), "no model 'm'");
  EXPECT_TRUE(Answer(1).is_from_server);
  EXPECT_FALSE(Answer(1).is_unprocessed);
}

TEST_F(ClientSessionTest, ExplainsAnswersThatAreNoGood) {
  struct Case {
    std::string body, status, http_status, content_type;
    StatusCode code;
    std::string text;
  };
  const std::string ok = FakePeer::Framed("a");
  const std::vector<Case> cases = {
      {ok, "", "200", "application/grpc", StatusCode::kInternal, "no grpc-status"},
      {ok, "x", "200", "application/grpc", StatusCode::kUnknown, ""},
      {ok, "77", "200", "application/grpc", StatusCode::kUnknown, ""},
      {"", "0", "200", "application/grpc", StatusCode::kInternal, "before its message"},
      {ok.substr(0, 5), "0", "200", "application/grpc", StatusCode::kInternal, "before"},
      {ok + ok, "0", "200", "application/grpc", StatusCode::kInternal, "goes on"},
      {'\1' + ok.substr(1), "0", "200", "application/grpc", StatusCode::kInternal, "compressed"},
      {"<html>", "", "503", "text/html", StatusCode::kUnavailable, "status 503"},
      {"", "", "404", "text/html", StatusCode::kUnimplemented, "status 404"},
      {"", "", "200", "text/html", StatusCode::kUnknown, "not gRPC"},
  };
  uint64_t id = 0;
  for (const Case& each : cases) {
    Start(++id);
    ASSERT_EQ(Exchange(), OkStatus());
    peer_.Answer(peer_.streams.rbegin()->first, each.body, each.status, "", each.http_status,
                 each.content_type);
    ASSERT_EQ(Exchange(), OkStatus());
    ASSERT_TRUE(HasAnswer(id)) << id;
    EXPECT_EQ(Answer(id).status.code(), each.code) << id << Answer(id).status;
    EXPECT_THAT(std::string(MessageOf(Answer(id).status)), HasSubstr(each.text)) << id;
    EXPECT_FALSE(Answer(id).is_unprocessed) << id;
  }
  EXPECT_EQ(session_.call_count(), 0U);
}

TEST_F(ClientSessionTest, LimitsTheAnswer) {
  UnaryRequest request;
  request.answer_bytes_max = 100;
  Start(1, "a", std::move(request));
  ASSERT_EQ(Exchange(), OkStatus());
  peer_.Answer(1, FakePeer::Framed(std::string(101, 'a')));
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(1).status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(peer_.streams.at(1).is_reset);
  // A head without an end to it.
  Start(2);
  ASSERT_EQ(Exchange(), OkStatus());
  peer_.Answer(3, FakePeer::Framed("a"), "0", std::string(5000, 'm'));
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(2).status.code(), StatusCode::kResourceExhausted);
}

TEST_F(ClientSessionTest, CountsTheAnswerInTheBudget) {
  MetricsRegistry metrics;
  UnaryRequest request;
  request.budget =
      std::make_shared<RequestAllowance>(50'000, metrics.AddCounter("refusals_total", "Refusals."));
  const RequestBudget budget = request.budget;
  Start(1, "a", request);
  Start(2, "a", request);
  ASSERT_EQ(Exchange(), OkStatus());
  peer_.Answer(1, FakePeer::Framed(std::string(30'000, 'a')));
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(1).status, OkStatus());
  EXPECT_LE(budget->left(), 20'000U);
  peer_.Answer(3, FakePeer::Framed(std::string(30'000, 'a')));
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(2).status.code(), StatusCode::kResourceExhausted);
  owner_.answers.clear();
  EXPECT_EQ(budget->left(), 50'000U);
}

TEST_F(ClientSessionTest, TellsCallsThatWereNotProcessed) {
  Start(1);
  Start(2);
  Start(3);
  ASSERT_EQ(Exchange(), OkStatus());
  nghttp2_submit_rst_stream(peer_.ng, NGHTTP2_FLAG_NONE, 1, NGHTTP2_REFUSED_STREAM);
  nghttp2_submit_rst_stream(peer_.ng, NGHTTP2_FLAG_NONE, 3, NGHTTP2_INTERNAL_ERROR);
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(1).status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Answer(1).is_unprocessed);
  EXPECT_EQ(Answer(2).status.code(), StatusCode::kInternal);
  EXPECT_FALSE(Answer(2).is_unprocessed);
  session_.Fail("the connection broke");
  EXPECT_EQ(Answer(3).status.code(), StatusCode::kUnavailable);
  EXPECT_FALSE(Answer(3).is_unprocessed);
}

TEST_F(ClientSessionTest, EndsOpenCallsAfterGoaway) {
  Start(1);
  Start(2);
  ASSERT_EQ(Exchange(), OkStatus());
  nghttp2_submit_goaway(peer_.ng, NGHTTP2_FLAG_NONE, 1, NGHTTP2_NO_ERROR, nullptr, 0);
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_FALSE(session_.is_open());
  // Above the last stream: the server has not looked at it.
  ASSERT_TRUE(HasAnswer(2));
  EXPECT_EQ(Answer(2).status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Answer(2).is_unprocessed);
  EXPECT_FALSE(HasAnswer(1));
  peer_.Answer(1, FakePeer::Framed("late"));
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(1).message.view(), "late");
}

TEST_F(ClientSessionTest, HoldsCallsBackThatTheServerDoesNotAllow) {
  FakePeer peer({{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1}});
  ASSERT_EQ(peer.Exchange(session_), OkStatus());
  Start(1);
  Start(2);
  ASSERT_EQ(peer.Exchange(session_), OkStatus());
  EXPECT_EQ(peer.streams.size(), 1U);
  peer.Answer(1, FakePeer::Framed("a"));
  ASSERT_EQ(peer.Exchange(session_), OkStatus());
  EXPECT_EQ(peer.streams.size(), 2U);
  Start(3);
  ASSERT_EQ(peer.Exchange(session_), OkStatus());
  // The third one has never been sent, so it may be tried elsewhere.
  nghttp2_submit_goaway(peer.ng, NGHTTP2_FLAG_NONE, 3, NGHTTP2_NO_ERROR, nullptr, 0);
  ASSERT_EQ(peer.Exchange(session_), OkStatus());
  peer.Answer(3, FakePeer::Framed("b"));
  ASSERT_EQ(peer.Exchange(session_), OkStatus());
  EXPECT_EQ(Answer(2).status, OkStatus());
  ASSERT_TRUE(HasAnswer(3));
  EXPECT_TRUE(Answer(3).is_unprocessed);
}

TEST_F(ClientSessionTest, CancelResetsTheStream) {
  const std::string large(1 << 20, 'x');
  Start(1, large);
  Start(2);
  ASSERT_EQ(Exchange(), OkStatus());
  session_.Cancel(*owner_.calls.at(1));
  owner_.calls.erase(1);
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(peer_.streams.at(1).reset, uint32_t{NGHTTP2_CANCEL});
  EXPECT_FALSE(HasAnswer(1));
  EXPECT_EQ(session_.call_count(), 1U);
  // What the server has still sent for it does no harm.
  peer_.Answer(3, FakePeer::Framed("b"));
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(2).status, OkStatus());
}

TEST_F(ClientSessionTest, TakesAnAnswerThatComesBeforeTheRequestIsSent) {
  Start(1, std::string(1 << 20, 'x'));
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_FALSE(peer_.streams.at(1).has_ended);
  peer_.Answer(1, "", "8", "too large");
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(Answer(1).status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(peer_.streams.at(1).reset, uint32_t{NGHTTP2_CANCEL});
}

TEST_F(ClientSessionTest, CountsPingsUntilTheyAreAnswered) {
  session_.Ping();
  EXPECT_EQ(session_.pings_open(), 1);
  ASSERT_EQ(Exchange(), OkStatus());
  EXPECT_EQ(peer_.pings, 1);
  EXPECT_EQ(session_.pings_open(), 0);
}

TEST_F(ClientSessionTest, RefusesWhatIsNotHttp2) {
  Start(1);
  FakePeer::Output(session_);
  const std::string_view text = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
  EXPECT_EQ(session_.OnBytes(std::as_bytes(std::span(text))), OkStatus());
  FakePeer::Output(session_);
  EXPECT_EQ(session_.CheckServer().code(), StatusCode::kUnavailable);
  EXPECT_FALSE(session_.is_ready());
}

TEST_F(ClientSessionTest, StopsAServerThatFloodsIt) {
  ASSERT_EQ(Exchange(), OkStatus());
  // Pings want answers, which nobody takes.
  std::string pings;
  for (int i = 0; i < 5000; ++i) pings += std::string("\0\0\x08\x06\0\0\0\0\0", 9) + "12345678";
  EXPECT_EQ(session_.OnBytes(std::as_bytes(std::span(pings))).code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace penstock::net
