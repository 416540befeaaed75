// SPDX-License-Identifier: Apache-2.0
#include "net/grpc/call.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/metrics/metrics.h"
#include "net/body/body_receiver.h"
#include "net/body/gzip.h"
#include "net/call_observer.h"
#include "net/http2/client_fake.h"
#include "net/http2/frames.h"

namespace penstock::net {
namespace {

ByteChain Chain(std::string_view text) {
  ByteChain chain;
  chain.AppendCopy(text);
  return chain;
}

std::string Gzipped(std::string_view text) {
  return std::string(Flatten(GzipCompress(Chain(text))).view());
}

// A server with some methods. One thread.
class GrpcCallTest : public testing::Test {
 protected:
  GrpcCallTest() {
    router_.AddGrpc({.method = "/t.T/Echo", .handler = [](GrpcCallRef call) {
                       call->Respond(ByteChain(call->message()));
                     }});
    router_.AddGrpc(
        {.method = "/t.T/Keep", .handler = [this](GrpcCallRef call) { kept_ = std::move(call); }});
    router_.AddGrpc({.method = "/t.T/Named", .handler = [](GrpcCallRef call) {
                       call->Respond(
                           ByteChain(call->message()),
                           OkTrailers({{"x-a", "b"}, {"x-long", std::string(3000, 'l')}}));
                     }});
    router_.AddGrpc({.method = "/t.T/Drop", .handler = [](GrpcCallRef) {}});
    router_.AddGrpc({.method = "/t.T/KeepStream",
                     .is_unary = false,
                     .handler = [this](GrpcCallRef call) { kept_ = std::move(call); }});
    router_.AddGrpc({.method = "/t.T/EchoStream",
                     .is_unary = false,
                     .handler = [](GrpcCallRef call) { EchoNext(std::move(call)); }});
    router_.AddGrpc({.method = "/t.T/Probe",
                     .is_unary = false,
                     .handler = [this](GrpcCallRef call) { kept_ = std::move(call); },
                     .counts_as_request = false});
  }

  static void EchoNext(GrpcCallRef call) {
    GrpcCall& target = *call;
    target.Read([call = std::move(call)](std::optional<Slice> message) mutable {
      if (!message) return call->Finish(OkStatus(), {{"x-end", "yes"}});
      GrpcCall& writer = *call;
      writer.Write(ByteChain(*std::move(message)), [call = std::move(call)](bool ok) mutable {
        if (ok) EchoNext(std::move(call));
      });
    });
  }

  void Start(ServerOptions options = FakeHttp2Server::DefaultOptions()) {
    server_.emplace(router_, std::move(options));
    client_.emplace(*server_);
  }
  void TearDown() override {
    client_.reset();
    kept_ = {};
    server_.reset();
  }

  Router router_;
  GrpcCallRef kept_;
  std::optional<FakeHttp2Server> server_;
  std::optional<FakeHttp2Client> client_;
};

TEST_F(GrpcCallTest, UnaryIsAnswered) {
  Start();
  const int32_t id = client_->Call("/t.T/Echo", "hello");
  const FakeAnswer& answer = client_->answer(id);
  EXPECT_EQ(answer.http_status(), 200);
  EXPECT_EQ(answer.Field("content-type"), "application/grpc");
  EXPECT_EQ(answer.grpc_status(), 0);
  EXPECT_EQ(answer.Messages(), std::vector<std::string>{"hello"});
  EXPECT_TRUE(answer.is_closed);
  EXPECT_EQ(answer.error_code, 0u);
  EXPECT_EQ(server_->loop().open_requests(), 0);
}

TEST_F(GrpcCallTest, TrailersOfTheHandlerFollowTheMessage) {
  Start();
  for (const size_t bytes : {0, 5, 200'000}) {
    const FakeAnswer& answer =
        client_->answer(client_->Call("/t.T/Named", std::string(bytes, 'm')));
    EXPECT_EQ(answer.Messages(), std::vector<std::string>{std::string(bytes, 'm')});
    EXPECT_EQ(answer.grpc_status(), 0);
    EXPECT_EQ(answer.Field("x-a"), "b");
    EXPECT_EQ(answer.Field("x-long"), std::string(3000, 'l'));
    EXPECT_EQ(answer.error_code, 0u);
  }
  // The table of HPACK is still right.
  const FakeAnswer& next = client_->answer(client_->Call("/t.T/Echo", "x"));
  EXPECT_EQ(next.Field("content-type"), "application/grpc");
  EXPECT_EQ(next.Field("x-a"), "");
}

TEST_F(GrpcCallTest, TrailersAnnounceANewSizeOfTheTable) {
  Start();
  const auto set = [this](uint16_t id, uint32_t value) {
    const nghttp2_settings_entry entry = {id, value};
    nghttp2_submit_settings(client_->ng(), NGHTTP2_FLAG_NONE, &entry, 1);
  };
  client_->CloseWindow();
  const int32_t id = client_->Call("/t.T/Named", "hello");
  EXPECT_EQ(client_->answer(id).http_status(), 200);  // only the head has come
  set(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0);
  set(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000);
  client_->Run();
  const FakeAnswer& answer = client_->answer(id);
  EXPECT_EQ(answer.Messages(), std::vector<std::string>{"hello"});
  EXPECT_EQ(answer.grpc_status(), 0);
  EXPECT_EQ(answer.Field("x-a"), "b");
  EXPECT_EQ(answer.Field("x-long"), std::string(3000, 'l'));
  EXPECT_TRUE(answer.is_closed);
  constexpr char kUpdateToZero = 0x20;
  EXPECT_EQ(client_->last_block_begin, kUpdateToZero);
  // The next head has announced the size, and the trailers behind it need not.
  const int32_t next = client_->Call("/t.T/Named", "more");
  EXPECT_EQ(client_->answer(next).grpc_status(), 0);
  EXPECT_EQ(client_->last_block_begin, 0);
}

TEST_F(GrpcCallTest, AnswersFromOtherThreadsHaveTheirTrailers) {
  Start();
  const int32_t id = client_->Call("/t.T/Keep", "");
  std::thread([&] { kept_->Respond(Chain("late"), OkTrailers({{"x-a", "b"}})); }).join();
  client_->Run();
  EXPECT_EQ(client_->answer(id).Field("x-a"), "b");
  EXPECT_EQ(client_->answer(id).grpc_status(), 0);
}

TEST_F(GrpcCallTest, EmptyMessageIsAMessage) {
  Start();
  const FakeAnswer& answer = client_->answer(client_->Call("/t.T/Echo", ""));
  EXPECT_EQ(answer.grpc_status(), 0);
  EXPECT_EQ(answer.Messages(), std::vector<std::string>{""});
}

TEST_F(GrpcCallTest, BigMessageComesBackWhole) {
  Start();
  std::string big(5'000'000, '\0');
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 7 + i / 251);
  const FakeAnswer& answer = client_->answer(client_->Call("/t.T/Echo", big));
  EXPECT_EQ(answer.grpc_status(), 0);
  ASSERT_EQ(answer.Messages().size(), 1u);
  EXPECT_TRUE(answer.Messages()[0] == big);
}

TEST_F(GrpcCallTest, MessageMayComeByteByByte) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo"));
  for (const char c : FakeHttp2Client::Framed("slow")) client_->Data(id, {&c, 1});
  client_->Data(id, "", true);
  EXPECT_EQ(client_->answer(id).Messages(), std::vector<std::string>{"slow"});
}

TEST_F(GrpcCallTest, MetadataIsPassedAsReceived) {
  Start();
  client_->Call("/t.T/Keep", "", {{"x-a", "1"}, {"x-b-bin", "AAE"}});
  ASSERT_TRUE(kept_);
  EXPECT_EQ(FindHeader(kept_->head().headers, "x-a"), "1");
  EXPECT_EQ(FindHeader(kept_->head().headers, "x-b-bin"), "AAE");
  EXPECT_EQ(kept_->head().path, "/t.T/Keep");
  EXPECT_EQ(kept_->head().authority, "test");
  EXPECT_EQ(kept_->head().peer, "127.0.0.1:1");
}

TEST_F(GrpcCallTest, UnknownMethodIsUnimplemented) {
  Start();
  const FakeAnswer& answer = client_->answer(client_->Call("/t.T/Nope", "x"));
  EXPECT_EQ(answer.http_status(), 200);
  EXPECT_EQ(answer.grpc_status(), 12);
  EXPECT_NE(answer.Field("grpc-message").find("/t.T/Nope"), std::string::npos);
}

TEST_F(GrpcCallTest, APortThatRefusesGrpcAnswersOnlyRoutesOfEveryPort) {
  router_.AddGrpc({.method = "/t.T/Everywhere",
                   .handler = [](GrpcCallRef call) { call->Respond(ByteChain(call->message())); },
                   .on_every_port = true});
  Start();
  server_->host.where.grpc_refusal = "ask the other port";
  const FakeAnswer& refused = client_->answer(client_->Call("/t.T/Echo", "x"));
  EXPECT_EQ(refused.grpc_status(), 12);
  EXPECT_EQ(refused.Field("grpc-message"), "ask the other port");
  EXPECT_EQ(client_->answer(client_->Call("/t.T/Everywhere", "x")).grpc_status(), 0);
}

TEST_F(GrpcCallTest, OtherContentTypeOnAGrpcMethodIs415) {
  Start();
  FakeFields fields = {{":method", "POST"},
                       {":scheme", "http"},
                       {":path", "/t.T/Echo"},
                       {":authority", "t"},
                       {"content-type", "application/json"}};
  EXPECT_EQ(client_->answer(client_->Open(fields, true)).http_status(), 415);
}

TEST_F(GrpcCallTest, GetWithGrpcContentTypeIs405) {
  Start();
  FakeFields fields = FakeHttp2Client::GrpcFields("/t.T/Echo");
  fields[0].second = "GET";
  EXPECT_EQ(client_->answer(client_->Open(fields, true)).http_status(), 405);
}

TEST_F(GrpcCallTest, MissingTeIsTolerated) {
  Start();
  FakeFields fields = FakeHttp2Client::GrpcFields("/t.T/Echo");
  fields.pop_back();
  const int32_t id = client_->Open(fields);
  client_->Data(id, FakeHttp2Client::Framed("a"), true);
  EXPECT_EQ(client_->answer(id).grpc_status(), 0);
}

TEST_F(GrpcCallTest, ErrorsAreTrailersOnlyAndEncoded) {
  Start();
  const int32_t id = client_->Call("/t.T/Keep", "");
  kept_->Finish(InvalidArgument("100% \xc3\xa4\n"), {{"x-why", "test"}});
  client_->Run();
  const FakeAnswer& answer = client_->answer(id);
  EXPECT_EQ(answer.grpc_status(), 3);
  EXPECT_EQ(answer.Field("grpc-message"), "100%25 %C3%A4%0A");
  EXPECT_EQ(answer.Field("x-why"), "test");
  EXPECT_EQ(client_->CountFrames(NGHTTP2_DATA), 0u);
}

TEST_F(GrpcCallTest, DroppedCallIsInternal) {
  Start();
  const FakeAnswer& answer = client_->answer(client_->Call("/t.T/Drop", ""));
  EXPECT_EQ(answer.grpc_status(), 13);
  EXPECT_EQ(server_->loop().open_requests(), 0);
}

TEST_F(GrpcCallTest, AnswerMayComeFromAnotherThread) {
  Start();
  const int32_t id = client_->Call("/t.T/Keep", "");
  EXPECT_EQ(client_->answer(id).http_status(), 0);
  std::thread([call = std::exchange(kept_, {})] { call->Respond(Chain("late")); }).join();
  client_->Run();
  EXPECT_EQ(client_->answer(id).Messages(), std::vector<std::string>{"late"});
}

TEST_F(GrpcCallTest, DroppedByAnotherThreadIsInternal) {
  Start();
  const int32_t id = client_->Call("/t.T/Keep", "");
  std::thread([call = std::exchange(kept_, {})]() mutable { call = {}; }).join();
  client_->Run();
  EXPECT_EQ(client_->answer(id).grpc_status(), 13);
}

TEST_F(GrpcCallTest, OnlyTheFirstAnswerCounts) {
  Start();
  const int32_t id = client_->Call("/t.T/Keep", "");
  kept_->Finish(Error(StatusCode::kAborted, "first"));
  kept_->Respond(Chain("second"));
  client_->Run();
  EXPECT_EQ(client_->answer(id).grpc_status(), 10);
}

TEST_F(GrpcCallTest, ResetCancelsAndTheLateAnswerIsDropped) {
  Start();
  const int32_t id = client_->Call("/t.T/Keep", "");
  bool is_told = false;
  kept_->cancel().SetCallback([&] { is_told = true; });
  client_->Reset(id);
  EXPECT_TRUE(is_told);
  EXPECT_TRUE(kept_->cancel().IsCancelled());
  kept_->Respond(Chain("too late"));
  client_->Run();
  EXPECT_EQ(client_->answer(id).body, "");
  EXPECT_EQ(server_->loop().open_requests(), 0);
}

TEST_F(GrpcCallTest, AnAnsweredCallStopsItsRunOnTheLoop) {
  Start();
  const int32_t id = client_->Call("/t.T/Keep", "");
  bool is_told = false;
  kept_->cancel().SetCallback([&] { is_told = true; });
  kept_->Finish(Error(StatusCode::kUnimplemented, "no parts here"));
  kept_->CancelFromRun();
  kept_->CancelFromRun();
  EXPECT_TRUE(kept_->cancel().IsCancelled()) << "the model sees it before its next part";
  EXPECT_FALSE(is_told) << "the model may hold a lock that its callback takes";
  client_->Run();
  EXPECT_TRUE(is_told);
  EXPECT_EQ(client_->answer(id).grpc_status(), 12);
}

TEST_F(GrpcCallTest, LostConnectionCancels) {
  Start();
  client_->Call("/t.T/Keep", "");
  server_->DropConnection();
  EXPECT_TRUE(kept_->cancel().IsCancelled());
  kept_->Respond(Chain("nobody there"));
  EXPECT_EQ(server_->loop().open_requests(), 0);
}

TEST_F(GrpcCallTest, CallMayOutliveTheServer) {
  Start();
  client_->Call("/t.T/Keep", "");
  client_.reset();
  server_.reset();
  EXPECT_TRUE(kept_->cancel().IsCancelled());
  EXPECT_EQ(kept_->head().path, "/t.T/Keep");
  kept_->Respond(Chain("nobody there"));
}

TEST_F(GrpcCallTest, ClientThatClosesCancels) {
  Start();
  client_->Call("/t.T/Keep", "");
  EXPECT_TRUE(server_->session().OnEndOfInput());
  client_->Run();
  EXPECT_TRUE(kept_->cancel().IsCancelled());
  EXPECT_TRUE(server_->host.wants_close);
  kept_->Respond(Chain("nobody there"));
}

TEST_F(GrpcCallTest, DeadlineCancelsAndAnswers) {
  Start();
  const int32_t id = client_->Call("/t.T/Keep", "", {{"grpc-timeout", "50m"}});
  EXPECT_EQ(kept_->deadline() - kept_->start(), std::chrono::milliseconds(50));
  EXPECT_TRUE(server_->Pass(std::chrono::milliseconds(40)));
  EXPECT_FALSE(kept_->cancel().IsCancelled());
  EXPECT_TRUE(server_->Pass(std::chrono::milliseconds(12)));
  EXPECT_TRUE(kept_->cancel().IsCancelled());
  EXPECT_TRUE(kept_->cancel().HasExpired());
  client_->Run();
  EXPECT_EQ(client_->answer(id).grpc_status(), 4);
  kept_->Respond(Chain("too late"));
}

TEST_F(GrpcCallTest, AClientThatLeavesBeforeItsDeadlineHasNotExpired) {
  Start();
  const int32_t id = client_->Call("/t.T/Keep", "", {{"grpc-timeout", "1S"}});
  EXPECT_TRUE(server_->Pass(std::chrono::milliseconds(500)));
  client_->Reset(id);
  EXPECT_TRUE(kept_->cancel().IsCancelled());
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(1)));
  EXPECT_FALSE(kept_->cancel().HasExpired());
}

// Its clock began earlier than the server's.
TEST_F(GrpcCallTest, AClientThatGivesUpAtItsDeadlineHasExpired) {
  Start();
  const int32_t id = client_->Call("/t.T/Keep", "", {{"grpc-timeout", "1S"}});
  EXPECT_TRUE(server_->Pass(std::chrono::milliseconds(950)));
  client_->Reset(id);
  EXPECT_TRUE(kept_->cancel().HasExpired());
}

TEST_F(GrpcCallTest, DeadlineCountsWhileTheMessageIsStillComing) {
  Start();
  const int32_t id =
      client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo", {{"grpc-timeout", "1S"}}));
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(2)));
  client_->Run();
  EXPECT_EQ(client_->answer(id).grpc_status(), 4);
}

TEST_F(GrpcCallTest, AnsweredCallHasNoDeadline) {
  Start();
  client_->Call("/t.T/Echo", "", {{"grpc-timeout", "50m"}});
  EXPECT_TRUE(server_->loop().timers().empty());
}

TEST_F(GrpcCallTest, MalformedTimeoutIsRefused) {
  Start();
  const FakeAnswer& answer =
      client_->answer(client_->Call("/t.T/Echo", "", {{"grpc-timeout", "soon"}}));
  EXPECT_EQ(answer.grpc_status(), 13);
  EXPECT_NE(answer.Field("grpc-message").find("'soon'"), std::string::npos);
}

TEST_F(GrpcCallTest, GzipBothWays) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields(
      "/t.T/Echo", {{"grpc-encoding", "gzip"}, {"grpc-accept-encoding", "identity,gzip"}}));
  const std::string text(100'000, 'z');
  client_->Data(id, FakeHttp2Client::Framed(Gzipped(text), true), true);
  const FakeAnswer& answer = client_->answer(id);
  EXPECT_EQ(answer.grpc_status(), 0);
  EXPECT_EQ(answer.Field("grpc-encoding"), "gzip");
  EXPECT_EQ(answer.body[0], 1);
  ASSERT_EQ(answer.Messages().size(), 1u);
  Inflater inflater;
  std::string inflated(200'000, '\0');
  const std::string compressed = answer.Messages()[0];
  std::span<const std::byte> input = std::as_bytes(std::span(compressed));
  const auto size = inflater.Inflate(input, std::as_writable_bytes(std::span(inflated)));
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(inflated.substr(0, *size), text);
}

TEST_F(GrpcCallTest, DeflateBothWays) {
  Start();
  const std::string text(100'000, 'z');
  const std::string packed(Flatten(ZlibCompress(Chain(text))).view());
  const FakeFields deflate = {{"grpc-encoding", "deflate"},
                              {"grpc-accept-encoding", "identity, deflate, gzip"}};
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo", deflate));
  client_->Data(id, FakeHttp2Client::Framed(packed, true), true);
  const FakeAnswer& answer = client_->answer(id);
  EXPECT_EQ(answer.grpc_status(), 0);
  EXPECT_EQ(answer.Field("grpc-encoding"), "deflate");
  EXPECT_EQ(answer.Messages(), std::vector<std::string>{packed});
  for (const std::string& bad : {packed + "x", packed.substr(0, 20), Gzipped(text)}) {
    const int32_t wrong = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo", deflate));
    client_->Data(wrong, FakeHttp2Client::Framed(bad, true), true);
    EXPECT_EQ(client_->answer(wrong).grpc_status(), 13);
  }
}

TEST_F(GrpcCallTest, CompressedAnswerOnlyIfTheClientTakesIt) {
  Start();
  const int32_t id =
      client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo", {{"grpc-encoding", "gzip"}}));
  client_->Data(id, FakeHttp2Client::Framed(Gzipped("abc"), true), true);
  EXPECT_EQ(client_->answer(id).Field("grpc-encoding"), "");
  EXPECT_EQ(client_->answer(id).Messages(), std::vector<std::string>{"abc"});
}

TEST_F(GrpcCallTest, UnknownEncodingIsUnimplemented) {
  Start();
  const FakeAnswer& answer =
      client_->answer(client_->Call("/t.T/Echo", "", {{"grpc-encoding", "snappy"}}));
  EXPECT_EQ(answer.grpc_status(), 12);
  EXPECT_EQ(answer.Field("grpc-accept-encoding"), "identity,deflate,gzip");
}

TEST_F(GrpcCallTest, CompressedFlagWithoutEncodingIsInternal) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo"));
  client_->Data(id, FakeHttp2Client::Framed("abc", true), true);
  EXPECT_EQ(client_->answer(id).grpc_status(), 13);
}

TEST_F(GrpcCallTest, BrokenGzipIsInternal) {
  Start();
  const int32_t id =
      client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo", {{"grpc-encoding", "gzip"}}));
  client_->Data(id, FakeHttp2Client::Framed("no gzip", true), true);
  EXPECT_EQ(client_->answer(id).grpc_status(), 13);
}

TEST_F(GrpcCallTest, GzipBombIsStoppedAtTheLimit) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.body_bytes_max = 1 << 20;
  Start(options);
  const int32_t id =
      client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo", {{"grpc-encoding", "gzip"}}));
  client_->Data(id, FakeHttp2Client::Framed(Gzipped(std::string(50 << 20, '\0')), true), true);
  EXPECT_EQ(client_->answer(id).grpc_status(), 8);
  EXPECT_EQ(server_->state().metrics.limit_body_bytes.Value(), 1u);
}

TEST_F(GrpcCallTest, RouteMayHaveASmallerLimitForMessages) {
  for (const bool is_unary : {true, false}) {
    router_.AddGrpc({.method = is_unary ? "/t.T/Small" : "/t.T/SmallStream",
                     .is_unary = is_unary,
                     .handler =
                         [is_unary](GrpcCallRef call) {
                           if (!is_unary) return EchoNext(std::move(call));
                           call->Respond(ByteChain(call->message()));
                         },
                     .message_bytes_max = 100});
  }
  Start();
  for (const std::string path : {"/t.T/Small", "/t.T/SmallStream"}) {
    EXPECT_EQ(client_->answer(client_->Call(path, std::string(100, 'x'))).grpc_status(), 0);
    const FakeAnswer& plain = client_->answer(client_->Call(path, std::string(101, 'x')));
    EXPECT_EQ(plain.grpc_status(), 8);
    EXPECT_NE(plain.Field("grpc-message").find("the limit is 100 bytes"), std::string::npos);
    const int32_t id =
        client_->Open(FakeHttp2Client::GrpcFields(path, {{"grpc-encoding", "gzip"}}));
    client_->Data(id, FakeHttp2Client::Framed(Gzipped(std::string(101, 'x')), true), true);
    EXPECT_EQ(client_->answer(id).grpc_status(), 8);
    EXPECT_NE(client_->answer(id).Field("grpc-message").find("limit of 100 bytes"),
              std::string::npos);
  }
  EXPECT_EQ(client_->answer(client_->Call("/t.T/Echo", std::string(101, 'x'))).grpc_status(), 0);
}

TEST_F(GrpcCallTest, MessageOverTheLimitIsRefusedByItsPrefix) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.body_bytes_max = 1000;
  Start(options);
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo"));
  client_->Data(id, FakeHttp2Client::Framed(std::string(1001, 'x')).substr(0, 5));
  const FakeAnswer& answer = client_->answer(id);
  EXPECT_EQ(answer.grpc_status(), 8);
  EXPECT_TRUE(answer.is_closed);  // reset, so that the client stops sending
  EXPECT_NE(answer.Field("grpc-message").find("1001"), std::string::npos);
  EXPECT_EQ(server_->state().metrics.limit_body_bytes.Value(), 1u);
}

TEST_F(GrpcCallTest, BodiesOverTheBudgetAreRefusedAndTheOthersGoOn) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.inflight_bytes_max = 5 << 20;
  Start(options);
  const std::string message = FakeHttp2Client::Framed(std::string(3 << 20, 'x'));
  const size_t most = 5 << 19;
  const FakeFields fields = FakeHttp2Client::GrpcFields("/t.T/Echo", {{"x-request-id", "me"}});
  const int32_t first = client_->Open(fields);
  client_->Data(first, message.substr(0, most));
  const int32_t second = client_->Open(fields);
  client_->Data(second, message.substr(0, most));
  const FakeAnswer& refused = client_->answer(second);
  EXPECT_EQ(refused.grpc_status(), 8);
  EXPECT_NE(refused.Field("grpc-message").find("--inflight_bytes_max"), std::string::npos);
  EXPECT_EQ(refused.Field("x-request-id"), "me");
  EXPECT_EQ(server_->state().request_budget->refusals(), 1u);
  client_->Data(first, message.substr(most), true);
  EXPECT_EQ(client_->answer(first).grpc_status(), 0);
  EXPECT_EQ(client_->answer(client_->Call("/t.T/Echo", "small")).grpc_status(), 0);
}

TEST_F(GrpcCallTest, AFullBudgetEndsAConnectionThatHasOnlyBegunCalls) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.inflight_bytes_max = 5 << 20;
  Start(options);
  const std::string message = FakeHttp2Client::Framed(std::string(3 << 20, 'x'));
  const FakeFields fields = FakeHttp2Client::GrpcFields("/t.T/Echo");
  client_->Data(client_->Open(fields), message.substr(0, 3 << 20));
  BodyReceiver other(server_->loop());
  ASSERT_TRUE(other.Start({.length = 3 << 20, .bytes_max = 4 << 20}).ok());
  EXPECT_TRUE(other.Append(std::vector<std::byte>(3 << 20)).ok());
  client_->Run();
  ASSERT_EQ(client_->goaway_texts.size(), 1u);
  EXPECT_EQ(client_->goaway_texts[0],
            "others need the memory of incomplete requests, and this connection completed none");
}

TEST_F(GrpcCallTest, AnswersThatWaitForTheClientKeepNoHeads) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.inflight_bytes_max = 1 << 20;
  Start(options);
  const uint64_t all = server_->BytesForOthers();
  client_->CloseWindow();
  FakeFields more;
  for (int i = 0; i < 15; ++i) more.emplace_back("x-large", std::string(3000, 'a'));
  for (int i = 0; i < 10; ++i)
    EXPECT_FALSE(client_->answer(client_->Call("/t.T/Echo", "x", more)).is_closed);
  EXPECT_GT(server_->BytesForOthers(), all - 40'000);
}

TEST_F(GrpcCallTest, ProbesThatStayOpenKeepNoHeads) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.inflight_bytes_max = 1 << 20;
  Start(options);
  const uint64_t all = server_->BytesForOthers();
  FakeFields more;
  for (int i = 0; i < 15; ++i) more.emplace_back("x-large", std::string(3000, 'a'));
  const int32_t probe = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Probe", more));
  EXPECT_EQ(server_->BytesForOthers(), all);
  kept_ = {};  // without an answer
  client_->Run();
  EXPECT_EQ(client_->answer(probe).Field("grpc-message"),
            "the handler of /t.T/Probe gave no answer");
}

TEST_F(GrpcCallTest, AConnectionWhoseCallsFindNoMemoryEnds) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.inflight_bytes_max = 5 << 20;
  Start(options);
  Allowance& budget = server_->state().body_bytes;
  const uint64_t taken = budget.left();
  ASSERT_TRUE(budget.TryTake(taken));
  const FakeFields fields = FakeHttp2Client::GrpcFields("/t.T/Echo");
  const std::string part = FakeHttp2Client::Framed(std::string(100'000, 'x')).substr(0, 50'000);
  for (uint32_t i = 0; i <= kBeginsRefusedAllowed.at_once; ++i) {
    EXPECT_TRUE(client_->goaway_codes.empty());
    client_->Data(client_->Open(fields), part);
  }
  budget.Give(taken);
  ASSERT_EQ(client_->goaway_texts.size(), 1u);
  EXPECT_EQ(client_->goaway_texts[0], "too many requests were begun and not completed");
}

TEST_F(GrpcCallTest, TruncatedMessageIsInternal) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo"));
  client_->Data(id, FakeHttp2Client::Framed("abcdef").substr(0, 8), true);
  EXPECT_EQ(client_->answer(id).grpc_status(), 13);
}

TEST_F(GrpcCallTest, UnaryWithoutAMessageIsInternal) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo"), true);
  EXPECT_EQ(client_->answer(id).grpc_status(), 13);
}

TEST_F(GrpcCallTest, TwoMessagesOnAUnaryCallAreAnError) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo"));
  client_->Data(id, FakeHttp2Client::Framed("a") + FakeHttp2Client::Framed("b"), true);
  EXPECT_EQ(client_->answer(id).grpc_status(), 13);
}

TEST_F(GrpcCallTest, RequestLimitIsUnavailable) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.requests_max = 1;
  Start(options);
  const int32_t first = client_->Call("/t.T/Keep", "");
  const int32_t second = client_->Call("/t.T/Echo", "");
  EXPECT_EQ(client_->answer(second).grpc_status(), 14);
  kept_->Respond(Chain("a"));
  client_->Run();
  EXPECT_EQ(client_->answer(first).grpc_status(), 0);
  EXPECT_EQ(client_->answer(client_->Call("/t.T/Echo", "")).grpc_status(), 0);
}

TEST_F(GrpcCallTest, CallsThatAreOnlyBegunKeepNobodyFromBeingServed) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.requests_max = 20;
  Start(options);
  std::vector<int32_t> begun;
  for (int i = 0; i < 100; ++i)
    begun.push_back(client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo")));
  EXPECT_EQ(server_->loop().open_requests(), 0);
  const auto refused = std::count_if(begun.begin(), begun.end(), [&](int32_t id) {
    return client_->answer(id).grpc_status() == 14;
  });
  EXPECT_EQ(refused, 80);

  client_->Data(begun[0], FakeHttp2Client::Framed("late"), true);
  EXPECT_EQ(client_->answer(begun[0]).grpc_status(), 0);
  begun.push_back(client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo")));

  // Another connection of the same loop gets a place. The first one has completed a call, so it
  // loses only its incomplete calls.
  OtherConnection other;
  IncompleteRequests& requests = server_->loop().incomplete_requests();
  EXPECT_TRUE(requests.Begin(other));
  client_->Run();
  EXPECT_TRUE(client_->answer(begun.back()).is_closed);
  EXPECT_EQ(client_->answer(begun.back()).error_code, NGHTTP2_REFUSED_STREAM);
  EXPECT_EQ(client_->answer(client_->Call("/t.T/Echo", "again")).grpc_status(), 0);
  requests.End(other, /*is_complete=*/true);
}

TEST_F(GrpcCallTest, ACallThatComesInOneReadNeverCountsAsIncomplete) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.incomplete_requests_max = 1;
  Start(options);
  OtherConnection other;
  IncompleteRequests& requests = server_->loop().incomplete_requests();
  EXPECT_TRUE(requests.Begin(other));
  const int32_t whole = client_->CallInOneRead("/t.T/Echo", "a");
  EXPECT_EQ(client_->answer(whole).grpc_status(), 0);
  EXPECT_EQ(other.drops, 0);
  client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo"));
  EXPECT_EQ(other.drops, 1);
  requests.End(other, /*is_complete=*/true);
}

TEST_F(GrpcCallTest, AConnectionThatOnlyBeginsCallsEndsWhenOthersNeedThePlaces) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.incomplete_requests_max = 20;
  Start(options);
  for (int i = 0; i < 20; ++i) client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo"));
  OtherConnection other;
  EXPECT_TRUE(server_->loop().incomplete_requests().Begin(other));
  client_->Run();
  ASSERT_EQ(client_->goaway_codes.size(), 1u);
  EXPECT_EQ(client_->goaway_codes[0], NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(client_->goaway_texts[0],
            "the server has too many incomplete requests, and this connection completed none");
}

TEST_F(GrpcCallTest, AConnectionWithManyRefusedCallsEnds) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.incomplete_requests_max = 20;
  Start(options);
  for (uint32_t i = 0; i < 20 + kBeginsRefusedAllowed.at_once; ++i)
    client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo"));
  EXPECT_TRUE(client_->goaway_codes.empty());
  client_->Open(FakeHttp2Client::GrpcFields("/t.T/Echo"));
  ASSERT_EQ(client_->goaway_codes.size(), 1u);
  EXPECT_EQ(client_->goaway_texts[0], "too many requests were begun and not completed");
}

TEST_F(GrpcCallTest, StreamsThatCountAsNoRequestAreFewForEachConnection) {
  std::vector<GrpcCallRef> open;
  router_.AddGrpc({.method = "/t.T/Watch",
                   .is_unary = false,
                   .handler = [&](GrpcCallRef call) { open.push_back(std::move(call)); },
                   .counts_as_request = false});
  Start();
  std::vector<int32_t> ids;
  for (int i = 0; i <= ServerOptions().watches_per_connection_max; ++i)
    ids.push_back(client_->Open(FakeHttp2Client::GrpcFields("/t.T/Watch")));
  EXPECT_EQ(client_->answer(ids[ServerOptions().watches_per_connection_max - 1]).grpc_status(), -1);
  EXPECT_EQ(client_->answer(ids[ServerOptions().watches_per_connection_max]).grpc_status(), 8);
  client_->Reset(ids[0]);
  const int32_t next = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Watch"));
  EXPECT_EQ(client_->answer(next).grpc_status(), -1);
}

TEST_F(GrpcCallTest, StreamEchoesInOrder) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/EchoStream"));
  client_->Data(id, FakeHttp2Client::Framed("one") + FakeHttp2Client::Framed("two"));
  EXPECT_EQ(client_->answer(id).Messages(), (std::vector<std::string>{"one", "two"}));
  client_->Data(id, FakeHttp2Client::Framed("three"), true);
  const FakeAnswer& answer = client_->answer(id);
  EXPECT_EQ(answer.Messages(), (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_EQ(answer.grpc_status(), 0);
  EXPECT_EQ(answer.Field("x-end"), "yes");
  EXPECT_TRUE(answer.is_closed);
}

TEST_F(GrpcCallTest, EmptyStreamEndsWithOk) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/EchoStream"), true);
  EXPECT_EQ(client_->answer(id).grpc_status(), 0);
}

TEST_F(GrpcCallTest, UnreadMessagesHoldTheWindow) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.http2_stream_window_bytes = 100'000;
  Start(options);
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/KeepStream"));
  for (int i = 0; i < 100; ++i) client_->Data(id, FakeHttp2Client::Framed(std::string(9995, 'x')));
  // Nobody reads: the client may send the window and what the first message gave back.
  EXPECT_LT(nghttp2_session_get_stream_remote_window_size(client_->ng(), id), 20'000);
  int messages = 0;
  std::function<void()> read = [&] {
    kept_->Read([&](std::optional<Slice> message) {
      if (!message) return;
      ++messages;
      read();
    });
  };
  read();
  client_->Run();
  EXPECT_EQ(messages, 100);
  client_->Data(id, "", true);
  kept_->Finish(OkStatus());
  client_->Run();
  EXPECT_EQ(client_->answer(id).grpc_status(), 0);
}

TEST_F(GrpcCallTest, WriterWaitsForRoom) {
  Start();
  nghttp2_session_set_local_window_size(client_->ng(), NGHTTP2_FLAG_NONE, 0, 1 << 30);
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/KeepStream"), true);
  int accepted = 0;
  // The client's window of 64 KiB is full after the first.
  kept_->Write(Chain(std::string(200'000, 'a')), [&](bool ok) { accepted += ok; });
  const std::string sent = server_->Send();
  EXPECT_GT(sent.size(), 60'000u);
  EXPECT_LT(sent.size(), 70'000u);
  EXPECT_EQ(accepted, 0);
  nghttp2_session_mem_recv(client_->ng(), reinterpret_cast<const uint8_t*>(sent.data()),
                           sent.size());
  client_->Run();
  EXPECT_EQ(accepted, 1);
  EXPECT_EQ(client_->answer(id).body.size(), 200'005u);
}

TEST_F(GrpcCallTest, ReaderAndWriterLearnOfTheEnd) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/KeepStream"));
  bool has_ended = false, is_refused = false;
  kept_->Read([&](std::optional<Slice> message) { has_ended = !message.has_value(); });
  client_->Reset(id);
  EXPECT_TRUE(has_ended);
  kept_->Write(Chain("x"), [&](bool ok) { is_refused = !ok; });
  EXPECT_TRUE(is_refused);
  EXPECT_TRUE(kept_->cancel().IsCancelled());
}

TEST_F(GrpcCallTest, InitialMetadataGoesFirst) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/KeepStream"));
  kept_->SendInitialMetadata({{"x-first", "1"}});
  client_->Run();
  EXPECT_EQ(client_->answer(id).http_status(), 200);
  EXPECT_EQ(client_->answer(id).Field("x-first"), "1");
  kept_->Finish(Error(StatusCode::kNotFound, "gone"));
  client_->Run();
  EXPECT_EQ(client_->answer(id).grpc_status(), 5);
}

TEST_F(GrpcCallTest, StreamMayBeServedFromAnotherThread) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/KeepStream"), true);
  std::thread([call = std::exchange(kept_, {})] {
    call->SendInitialMetadata({{"x-thread", "2"}});
    call->Write(Chain("one"), [](bool) {});
    call->Finish(OkStatus());
  }).join();
  client_->Run();
  EXPECT_EQ(client_->answer(id).Field("x-thread"), "2");
  EXPECT_EQ(client_->answer(id).Messages(), std::vector<std::string>{"one"});
  EXPECT_EQ(client_->answer(id).grpc_status(), 0);
}

TEST_F(GrpcCallTest, ProbesEndWhenTheServerDrains) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Probe"), true);
  EXPECT_EQ(server_->loop().open_requests(), 0);
  server_->session().StartDrain();
  client_->Run();
  EXPECT_EQ(client_->answer(id).grpc_status(), 14);
}

// Keeps what it is told of each call. One thread.
class RecordingObserver final : public CallObserver {
 public:
  explicit RecordingObserver(CallFilter filter) : filter_(filter) {}
  CallFilter filter() const override { return filter_; }
  void OnCallEnd(const Call& call) override {
    const CallRecord& record = call.record();
    calls.push_back({std::string(call.head().path), record.code, record.bytes_in, record.bytes_out,
                     record.ended - call.start()});
  }

  struct Seen {
    std::string path;
    StatusCode code;
    uint64_t bytes_in, bytes_out;
    Duration time;
  };
  std::vector<Seen> calls;

 private:
  const CallFilter filter_;
};

// A server whose calls are observed. One thread.
class ObservedGrpcCallTest : public GrpcCallTest {
 protected:
  void Observe(CallFilter filter) {
    observer_.emplace(filter);
    ServerOptions options = FakeHttp2Server::DefaultOptions();
    options.observer = &*observer_;
    Start(std::move(options));
  }

  std::optional<RecordingObserver> observer_;
};

TEST_F(ObservedGrpcCallTest, AnObserverSeesEachCallOnce) {
  Observe({.all = true});
  client_->Call("/t.T/Echo", "hello");
  client_->Call("/t.T/Nope", "x");
  client_->Call("/t.T/Drop", "x");
  ASSERT_EQ(observer_->calls.size(), 3u);
  EXPECT_EQ(observer_->calls[0].path, "/t.T/Echo");
  EXPECT_EQ(observer_->calls[0].code, StatusCode::kOk);
  EXPECT_EQ(observer_->calls[0].bytes_in, 5u);
  EXPECT_EQ(observer_->calls[0].bytes_out, 5u);
  EXPECT_EQ(observer_->calls[1].code, StatusCode::kUnimplemented);
  EXPECT_EQ(observer_->calls[2].code, StatusCode::kInternal);
}

TEST_F(ObservedGrpcCallTest, AnObserverOfErrorsSeesOnlyThem) {
  Observe({.errors = true});
  client_->Call("/t.T/Echo", "hello");
  const int32_t id = client_->Call("/t.T/Keep", "x");
  client_->Reset(id);
  kept_ = {};
  ASSERT_EQ(observer_->calls.size(), 1u);
  EXPECT_EQ(observer_->calls[0].path, "/t.T/Keep");
  EXPECT_EQ(observer_->calls[0].code, StatusCode::kCancelled);
}

TEST_F(ObservedGrpcCallTest, AnObserverOfSlowCallsSeesOnlyThem) {
  Observe({.slow_min = std::chrono::milliseconds(5)});
  client_->Call("/t.T/Echo", "hello");
  client_->Call("/t.T/Keep", "x");
  server_->clock.Advance(std::chrono::milliseconds(7));
  kept_->Respond(Chain("y"));
  kept_ = {};
  client_->Run();
  ASSERT_EQ(observer_->calls.size(), 1u);
  EXPECT_EQ(observer_->calls[0].path, "/t.T/Keep");
  EXPECT_EQ(observer_->calls[0].time, std::chrono::milliseconds(7));
}

TEST_F(GrpcCallTest, OnlyAnswersThatWaitForTheClientCountAsWritten) {
  MetricsRegistry metrics;
  Histogram& times = metrics.AddHistogram("write", "h", LatencyBucketsUs());
  Start();
  const auto answer = [&] {
    kept_->record().write_times = &times;
    kept_->Respond(Chain("y"));
    kept_ = {};
    client_->Run();
  };
  client_->Call("/t.T/Keep", "x");
  answer();
  EXPECT_EQ(times.Count(), 0u);
  client_->CloseWindow();
  const int32_t id = client_->Call("/t.T/Keep", "x");
  answer();
  EXPECT_FALSE(client_->answer(id).is_closed);
  server_->clock.Advance(std::chrono::milliseconds(7));
  client_->Reset(id);
  EXPECT_EQ(times.Count(), 1u);
}

}  // namespace
}  // namespace penstock::net
