// SPDX-License-Identifier: Apache-2.0
#include "net/http2/session.h"

#include <gtest/gtest.h>
#include <map>

#include <optional>
#include <string>
#include <thread>

#include "net/http2/client_fake.h"

namespace penstock::net {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Plain HTTP and one gRPC method. One thread.
class Http2SessionTest : public testing::Test {
 protected:
  Http2SessionTest() {
    HttpRoute echo;
    echo.path = "/echo";
    echo.handler = [](HttpCallRef call) {
      HttpResponse response;
      response.content_type = "text/plain";
      response.body = ByteChain(call->body());
      call->Respond(std::move(response));
    };
    router_.AddHttp(std::move(echo));
    HttpRoute keep;
    keep.path = "/keep";
    keep.handler = [this](HttpCallRef call) { kept_.push_back(std::move(call)); };
    router_.AddHttp(std::move(keep));
    GrpcRoute big;
    big.method = "/t.T/Big";
    big.handler = [](GrpcCallRef call) {
      call->Respond(ByteChain(WholeSlice(AllocateBuffer(size_t{1} << 20))));
    };
    router_.AddGrpc(std::move(big));
  }

  void Start(ServerOptions options = FakeHttp2Server::DefaultOptions()) {
    server_.emplace(router_, std::move(options));
    client_.emplace(*server_);
    client_->Run();
  }
  void TearDown() override {
    client_.reset();
    kept_.clear();
    server_.reset();
  }

  static FakeFields Fields(std::string method, std::string path, FakeFields more = {}) {
    FakeFields fields = {{":method", std::move(method)},
                         {":scheme", "http"},
                         {":path", std::move(path)},
                         {":authority", "test"}};
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
  }
  // The client's only GOAWAY code; none if there was no GOAWAY.
  std::optional<uint32_t> Goaway() const {
    if (client_->goaway_codes.empty()) return std::nullopt;
    return client_->goaway_codes.back();
  }

  Router router_;
  std::vector<HttpCallRef> kept_;
  std::optional<FakeHttp2Server> server_;
  std::optional<FakeHttp2Client> client_;
};

TEST_F(Http2SessionTest, PlainRequestsReachHttpHandlers) {
  Start();
  const int32_t id = client_->Open(Fields("POST", "/echo?x=1"));
  client_->Data(id, "hello ");
  client_->Data(id, "world", true);
  const FakeAnswer& answer = client_->answer(id);
  EXPECT_EQ(answer.http_status(), 200);
  EXPECT_EQ(answer.body, "hello world");
  EXPECT_EQ(answer.Field("content-length"), "11");
  EXPECT_EQ(answer.Field("content-type"), "text/plain");
  EXPECT_TRUE(answer.is_closed);
}

TEST_F(Http2SessionTest, HeadersOfPlainRequestsReachHttpHandlers) {
  Start();
  FakeFields more;
  for (int i = 0; i < 20; ++i) more.push_back({"x-" + std::to_string(i), std::to_string(i * i)});
  client_->Open(Fields("GET", "/keep?q", {{"x-request-id", "few"}}), true);
  client_->Open(Fields("GET", "/keep", more), true);
  ASSERT_EQ(kept_.size(), 2u);
  const RequestHead& few = kept_[0]->head();
  ASSERT_EQ(few.headers.size(), 1u);
  EXPECT_EQ(FindHeader(few.headers, "x-request-id"), "few");
  EXPECT_EQ(few.path, "/keep");
  EXPECT_EQ(few.query, "q");
  EXPECT_EQ(few.authority, "test");
  const RequestHead& many = kept_[1]->head();
  ASSERT_EQ(many.headers.size(), 20u);
  for (const auto& [name, value] : more) EXPECT_EQ(FindHeader(many.headers, name), value);
}

TEST_F(Http2SessionTest, OptionsOfARouteForAllMethodsNamesNone) {
  Start();
  const int32_t id = client_->Open(Fields("OPTIONS", "/echo", {{"origin", "http://a"}}), true);
  EXPECT_EQ(client_->answer(id).http_status(), 200);
  EXPECT_EQ(client_->answer(id).Field("allow"), "");
}

TEST_F(Http2SessionTest, UnknownPathIs404) {
  Start();
  EXPECT_EQ(client_->answer(client_->Open(Fields("GET", "/nope"), true)).http_status(), 404);
}

TEST_F(Http2SessionTest, BodyOverTheLimitIs413AndTheStreamIsReset) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.body_bytes_max = 10;
  Start(options);
  const int32_t id = client_->Open(Fields("POST", "/echo", {{"content-length", "2000000"}}));
  EXPECT_EQ(client_->answer(id).http_status(), 413);
  EXPECT_TRUE(client_->answer(id).is_closed);
  EXPECT_EQ(client_->answer(id).error_code, NGHTTP2_NO_ERROR);
}

// curl 7.88 loses the answer if a reset follows it.
TEST_F(Http2SessionTest, ASmallRequestIsReceivedToItsEndAfterAnEarlyAnswer) {
  Start();
  const int32_t id = client_->Open(Fields("POST", "/nope", {{"content-length", "300000"}}));
  EXPECT_EQ(client_->answer(id).http_status(), 404);
  for (int part = 0; part < 30; ++part) {
    EXPECT_FALSE(client_->answer(id).is_closed) << part;
    client_->Data(id, std::string(10'000, 'x'), part == 29);
  }
  EXPECT_TRUE(client_->answer(id).is_closed);
  EXPECT_EQ(Goaway(), std::nullopt);
}

TEST_F(Http2SessionTest, ARequestOfUnknownLengthIsResetAfterAnEarlyAnswerAndAMegabyte) {
  Start();
  const int32_t id = client_->Open(Fields("POST", "/nope"));
  EXPECT_EQ(client_->answer(id).http_status(), 404);
  const std::string part(10'000, 'x');
  int parts = 0;
  for (; parts < 200 && !client_->answer(id).is_closed; ++parts) client_->Data(id, part);
  EXPECT_GT(parts, 100);
  EXPECT_LT(parts, 120);
}

TEST_F(Http2SessionTest, ARequestThatStopsAfterAnEarlyAnswerIsReset) {
  Start();
  const int32_t id = client_->Open(Fields("POST", "/nope", {{"content-length", "5"}}));
  EXPECT_FALSE(client_->answer(id).is_closed);
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(2)));
  client_->Run();
  EXPECT_TRUE(client_->answer(id).is_closed);
}

TEST_F(Http2SessionTest, Expect100IsAnswered) {
  Start();
  const int32_t id = client_->Open(Fields("POST", "/echo", {{"expect", "100-continue"}}));
  EXPECT_EQ(client_->answer(id).http_status(), 100);
  client_->Data(id, "x", true);
  EXPECT_EQ(client_->answer(id).body, "x");
}

TEST_F(Http2SessionTest, AnnouncesItsLimits) {
  Start();
  EXPECT_EQ(nghttp2_session_get_remote_settings(client_->ng(), NGHTTP2_SETTINGS_MAX_FRAME_SIZE),
            kFrameBytesMax);
  EXPECT_EQ(
      nghttp2_session_get_remote_settings(client_->ng(), NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE),
      32u << 20);
  EXPECT_EQ(nghttp2_session_get_remote_window_size(client_->ng()), 64 << 20);
}

TEST_F(Http2SessionTest, BodyThatIsNotAsLongAsAnnouncedResetsTheStream) {
  Start();
  const FakeFields fields = Fields("POST", "/echo", {{"content-length", "3"}});
  const int32_t longer = client_->Open(fields);
  client_->Data(longer, "four");
  EXPECT_EQ(client_->answer(longer).error_code, NGHTTP2_PROTOCOL_ERROR);
  const int32_t shorter = client_->Open(fields);
  client_->Data(shorter, "2", true);
  EXPECT_EQ(client_->answer(shorter).error_code, NGHTTP2_PROTOCOL_ERROR);
  const int32_t right = client_->Open(fields);
  client_->Data(right, "abc", true);
  EXPECT_EQ(client_->answer(right).body, "abc");
  EXPECT_EQ(Goaway(), std::nullopt);
}

TEST_F(Http2SessionTest, TrailersThatAreMalformedResetTheStream) {
  Start();
  // A HEADERS frame with ":path: /" (index 4 of HPACK's static table), then one that ends nothing.
  for (const uint8_t flags :
       {NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, NGHTTP2_FLAG_END_HEADERS + 0}) {
    const int32_t id = client_->Open(Fields("POST", "/keep"));
    const char block = flags == NGHTTP2_FLAG_END_HEADERS ? '\x90' : '\x84';
    client_->SendRaw(FrameHeader(1, NGHTTP2_HEADERS, flags, static_cast<uint32_t>(id)) + block);
    EXPECT_EQ(client_->answer(id).error_code, NGHTTP2_PROTOCOL_ERROR);
  }
  EXPECT_EQ(kept_.size(), 0u);
}

TEST_F(Http2SessionTest, AFrameBehindTheClientsEndOfAStreamEndsTheConnection) {
  for (const uint8_t type : {NGHTTP2_DATA, NGHTTP2_HEADERS}) {
    Start();
    const int32_t id = client_->Open(Fields("POST", "/echo"));
    client_->Data(id, "x", true);
    EXPECT_EQ(client_->answer(id).body, "x");
    client_->SendRaw(FrameHeader(0, type, NGHTTP2_FLAG_END_HEADERS, static_cast<uint32_t>(id)));
    EXPECT_EQ(Goaway(), NGHTTP2_STREAM_CLOSED);
  }
}

TEST_F(Http2SessionTest, DataForAStreamThatTheServerEndedIsNoMistake) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.body_bytes_max = 10;
  Start(options);
  const int32_t id = client_->Open(Fields("POST", "/echo", {{"content-length", "2000000"}}));
  EXPECT_TRUE(client_->answer(id).is_closed);
  client_->SendRaw(FrameHeader(1, NGHTTP2_DATA, 0, static_cast<uint32_t>(id)) + "x");
  EXPECT_EQ(Goaway(), std::nullopt);
}

TEST_F(Http2SessionTest, HeadOverTheLimitIs431) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.header_bytes_max = 1024;
  Start(options);
  const int32_t id = client_->Open(Fields("GET", "/echo", {{"x-a", std::string(1200, 'a')}}), true);
  EXPECT_EQ(client_->answer(id).http_status(), 431);
}

TEST_F(Http2SessionTest, HeadsOutOfATableAreCountedInTheBudget) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.inflight_bytes_max = 1 << 20;
  Start(options);
  FakeFields fields = Fields("POST", "/keep");
  for (int i = 0; i < 15; ++i) fields.emplace_back("x-large", std::string(3000, 'a'));
  std::vector<int32_t> ids;
  for (int i = 0; i < 60; ++i) ids.push_back(client_->Open(fields));  // none of them ends
  const auto refused = [&] {
    return std::count_if(ids.begin(), ids.end(),
                         [&](int32_t id) { return client_->answer(id).http_status() == 503; });
  };
  EXPECT_GT(refused(), 30);
  EXPECT_LT(refused(), 60);
  const int32_t small = client_->Open(Fields("POST", "/echo"));
  client_->Data(small, "x", true);
  EXPECT_EQ(client_->answer(small).body, "x");
  for (const int32_t id : ids) client_->Reset(id);
  const int32_t late = client_->Open(fields, true);  // there is room again
  EXPECT_EQ(client_->answer(late).http_status(), 0);
  ASSERT_EQ(kept_.size(), 1u);
  kept_[0]->Respond({});
}

// Makes the client submit a request with `fields`. Returns what it sends.
std::string SubmitHead(FakeHttp2Client& client, const FakeFields& fields) {
  client.Submit(fields, true);
  std::string sent;
  const uint8_t* data;
  while (const ssize_t size = nghttp2_session_mem_send(client.ng(), &data))
    sent.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  return sent;
}

TEST_F(Http2SessionTest, AHeadThatDoesNotEndLeavesItsMemoryToOthers) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.inflight_bytes_max = 1 << 20;
  Start(options);
  const uint64_t all = server_->BytesForOthers();
  const std::string head = SubmitHead(
      *client_, Fields("GET", "/echo", {{"x-large", std::string(30'000, '~')}, {"x-last", "1"}}));
  EXPECT_TRUE(server_->Receive(head.substr(0, head.size() - 1)));
  EXPECT_EQ(Goaway(), std::nullopt);
  EXPECT_EQ(server_->BytesForOthers(), all);
  client_->Run();
  ASSERT_EQ(client_->goaway_texts.size(), 1u);
  EXPECT_EQ(client_->goaway_texts[0],
            "others need the memory of incomplete requests, and this connection completed none");
}

TEST_F(Http2SessionTest, AHeadDroppedBeforeItsEndHarmsNoLaterRequest) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.incomplete_requests_max = 1;
  Start(options);
  const FakeFields fields = Fields("GET", "/echo",
                                   {{"x-table", std::string(3000, '~')},
                                    {"x-large", std::string(30'000, '~')},
                                    {"x-last", "1"}});
  EXPECT_EQ(client_->answer(client_->Open(fields, true)).http_status(), 200);
  const std::string head = SubmitHead(*client_, fields);
  EXPECT_TRUE(server_->Receive(head.substr(0, head.size() - 1)));
  OtherConnection other;
  EXPECT_TRUE(server_->loop().incomplete_requests().Begin(other));
  server_->loop().incomplete_requests().End(other, false);
  client_->SendRaw(head.substr(head.size() - 1));
  EXPECT_EQ(client_->answer(3).error_code, NGHTTP2_REFUSED_STREAM);
  EXPECT_EQ(client_->answer(client_->Open(fields, true)).http_status(), 200);
  EXPECT_EQ(Goaway(), std::nullopt);
}

TEST_F(Http2SessionTest, AnswersThatWaitForTheClientKeepNoHeads) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.inflight_bytes_max = 1 << 20;
  Start(options);
  const uint64_t all = server_->BytesForOthers();
  client_->CloseWindow();
  FakeFields more;
  for (int i = 0; i < 15; ++i) more.emplace_back("x-large", std::string(3000, 'a'));
  for (int i = 0; i < 10; ++i) {
    const int32_t echo = client_->Open(Fields("POST", "/echo", more));
    client_->Data(echo, "x", true);
    EXPECT_EQ(client_->answer(echo).http_status(), 200);
    EXPECT_FALSE(client_->answer(echo).is_closed);
  }
  // The same for a handler on another thread, which still has the call when it has answered.
  const int32_t kept = client_->Open(Fields("GET", "/keep", more), true);
  ASSERT_EQ(kept_.size(), 1u);
  EXPECT_LT(server_->BytesForOthers(), all - 40'000);
  std::thread([&] { kept_[0]->Respond(HttpResponse{}); }).join();
  client_->Run();
  EXPECT_EQ(client_->answer(kept).http_status(), 200);
  EXPECT_EQ(kept_[0]->head().headers.size(), 15u);
  std::thread([&] { kept_.clear(); }).join();
  client_->Run();
  EXPECT_GT(server_->BytesForOthers(), all - 40'000);
}

TEST_F(Http2SessionTest, DropsFieldsWithALineBreak) {
  Start();
  const int32_t kept = client_->Open(Fields("GET", "/keep"), true);
  HttpResponse response;
  response.headers.emplace_back("x-evil", "a\r\nx-injected: b");
  response.headers.emplace_back("x-good", "a");
  kept_[0]->Respond(std::move(response));
  client_->Run();
  std::map<std::string, std::string> got;
  for (const auto& [name, value] : client_->answer(kept).headers) got[name] = value;
  EXPECT_EQ(got.count("x-evil"), 0u);
  EXPECT_EQ(got["x-good"], "a");
}

TEST_F(Http2SessionTest, HeadBetweenTheLimitAndABombHarmsNoOtherCall) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.header_bytes_max = 1024;
  Start(options);
  const int32_t id = client_->Open(Fields("GET", "/echo", {{"x-a", std::string(3000, '~')}}), true);
  EXPECT_EQ(client_->answer(id).http_status(), 431);
  EXPECT_EQ(Goaway(), std::nullopt);
}

TEST_F(Http2SessionTest, HeaderBombEndsTheConnection) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.header_bytes_max = 1024;
  Start(options);
  FakeFields fields = Fields("GET", "/echo");
  for (int i = 0; i < 50; ++i) fields.emplace_back("x-bomb", std::string(1000, 'a'));
  client_->Open(fields, true);  // compresses to some hundred bytes
  EXPECT_EQ(Goaway(), NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(client_->goaway_texts.back(), "the head of a request is far too large");
}

// Makes the client submit 50 requests. Returns what it sends.
std::string SubmitBurst(FakeHttp2Client& client, const FakeFields& fields) {
  std::vector<nghttp2_nv> nv;
  for (const auto& [name, value] : fields) nv.push_back(CopiedField(name, value));
  for (int i = 0; i < 50; ++i)
    nghttp2_submit_request(client.ng(), nullptr, nv.data(), nv.size(), nullptr, nullptr);
  std::string burst;
  const uint8_t* data;
  while (const ssize_t size = nghttp2_session_mem_send(client.ng(), &data))
    burst.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  return burst;
}

TEST_F(Http2SessionTest, RequestsAfterTheEndOfATurnWaitForTheNext) {
  Start();
  const std::string burst = SubmitBurst(*client_, Fields("GET", "/echo"));
  server_->loop().turn().Begin(Duration::zero());
  EXPECT_TRUE(server_->Receive(burst));
  size_t turns = 1;
  for (; std::exchange(server_->host.has_yielded, false); ++turns) {
    EXPECT_FALSE(server_->session().IsIdle());
    server_->loop().turn().Begin(Duration::zero());
    EXPECT_TRUE(server_->session().Continue());
  }
  EXPECT_EQ(turns, 1 + 50 / (2 * kRequestsPerClockRead));
  client_->Run();
  for (int32_t id = 1; id < 100; id += 2) EXPECT_EQ(client_->answer(id).http_status(), 200);
}

TEST_F(Http2SessionTest, KeptInputWaitsWhileTheClientTakesNoAnswers) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.write_queue_bytes_max = 100;
  Start(options);
  server_->loop().turn().Begin(Duration::zero());
  EXPECT_TRUE(server_->Receive(SubmitBurst(*client_, Fields("GET", "/echo"))));
  EXPECT_TRUE(std::exchange(server_->host.has_yielded, false));
  EXPECT_TRUE(server_->host.is_paused);
  EXPECT_TRUE(server_->session().Continue());
  EXPECT_FALSE(server_->host.has_yielded);
  for (int turns = 0; turns < 10 && !server_->session().IsIdle(); ++turns) {
    client_->Run();  // takes the answers
    if (!std::exchange(server_->host.has_yielded, false)) continue;
    server_->loop().turn().Begin(Duration::zero());
    EXPECT_TRUE(server_->session().Continue());
  }
  for (int32_t id = 1; id < 100; id += 2) EXPECT_EQ(client_->answer(id).http_status(), 200);
}

TEST_F(Http2SessionTest, PingFloodEndsTheConnection) {
  Start();
  const std::string ping = FrameHeader(8, NGHTTP2_PING, 0, 0) + "12345678";
  for (uint32_t i = 0; i < kPingsAllowed.at_once; ++i) client_->SendRaw(ping);
  EXPECT_TRUE(client_->is_open);
  client_->SendRaw(ping);
  EXPECT_FALSE(client_->is_open);
  EXPECT_EQ(Goaway(), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2SessionTest, SettingsFloodEndsTheConnection) {
  Start();
  for (uint32_t i = 0; i <= kSettingsAllowed.at_once; ++i)
    server_->Receive(FrameHeader(0, NGHTTP2_SETTINGS, 0, 0));
  // The client itself does not know of these, and would choke on the acknowledgements.
  const std::string sent = server_->Send();
  const std::string_view reason = "too many SETTINGS frames";
  const std::string goaway("\0\0\x20\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b", 17);
  EXPECT_TRUE(sent.ends_with(goaway + std::string(reason)));
  EXPECT_TRUE(server_->host.wants_close);
}

TEST_F(Http2SessionTest, EmptyDataFloodEndsTheConnection) {
  Start();
  const int32_t id = client_->Open(Fields("POST", "/echo"));
  for (uint32_t i = 0; i <= kEmptyDataAllowed.at_once; ++i)
    client_->SendRaw(FrameHeader(0, NGHTTP2_DATA, 0, static_cast<uint32_t>(id)));
  EXPECT_EQ(Goaway(), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2SessionTest, WindowUpdateFloodEndsTheConnection) {
  Start();
  const std::string update =
      FrameHeader(4, NGHTTP2_WINDOW_UPDATE, 0, 0) + std::string("\0\0\0\1", 4);
  for (uint32_t i = 0; i <= kWindowUpdatesAllowed.at_once && client_->is_open; ++i)
    client_->SendRaw(update);
  EXPECT_EQ(Goaway(), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2SessionTest, ContinuationFloodEndsTheConnection) {
  Start();
  std::string flood = FrameHeader(0, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1);
  for (uint32_t i = 0; i <= kContinuationsMax; ++i)
    flood += FrameHeader(0, NGHTTP2_CONTINUATION, 0, 1);
  client_->SendRaw(flood);
  EXPECT_FALSE(client_->is_open);
  EXPECT_EQ(Goaway(), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2SessionTest, RapidResetEndsTheConnection) {
  Start();
  for (uint32_t i = 0; i <= kResetsAllowed.at_once && client_->is_open; ++i) {
    client_->Reset(client_->Open(Fields("POST", "/keep")));
    kept_.clear();
  }
  EXPECT_FALSE(client_->is_open);
  EXPECT_EQ(Goaway(), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2SessionTest, ResetsThatNobodyReadsEndTheConnection) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.streams_per_connection_max = 1;
  FakeHttp2Server server(router_, options);
  ASSERT_TRUE(
      server.Receive("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + FrameHeader(0, NGHTTP2_SETTINGS, 0, 0)));
  // The client has not acknowledged the limit of streams, so each of these is refused by a reset.
  const auto open = [&](uint32_t first, uint32_t count) {
    std::string flood;
    for (uint32_t i = 0; i < count; ++i)
      flood += FrameHeader(1, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, first + 2 * i) + "\x82";
    return server.Receive(flood);
  };
  uint32_t next = 1;
  for (; next < 10'000; next += 2000) EXPECT_TRUE(open(next, 1000));
  bool is_open = true;
  for (; is_open && next < 1'000'000; next += 2000) is_open = open(next, 1000);
  EXPECT_FALSE(is_open);
  EXPECT_TRUE(server.host.wants_flush);
}

TEST_F(Http2SessionTest, MistakesCountWhenTheirResetsAreQueued) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  // More than the streams and frames that are opened here, so that no other limit ends it.
  options.streams_per_connection_max = 10 * static_cast<int>(kResetsAllowed.at_once);
  Start(options);
  auto mistake = [id = 1u]() mutable {
    const uint8_t flags = NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM;
    return FrameHeader(1, NGHTTP2_HEADERS, flags, std::exchange(id, id + 2)) + "\x82";  // no path
  };
  // The client reads nothing, so not one reset is sent.
  for (uint32_t i = 0; i < kResetsAllowed.at_once; ++i) ASSERT_TRUE(server_->Receive(mistake()));
  EXPECT_FALSE(server_->Receive(mistake()));
  EXPECT_EQ(server_->state().metrics.limit_floods.Value(), 1U);
  EXPECT_TRUE(server_->Send().ends_with("too many streams had to be reset"));
}

TEST_F(Http2SessionTest, AMistakeCountsOnce) {
  Start();
  const uint8_t flags = NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM;
  for (uint32_t i = 0; i < kResetsAllowed.at_once; ++i) {
    ASSERT_TRUE(server_->Receive(FrameHeader(1, NGHTTP2_HEADERS, flags, 1 + 2 * i) + "\x82"));
    server_->Send();
  }
  EXPECT_EQ(server_->state().metrics.limit_floods.Value(), 0U);
}

TEST_F(Http2SessionTest, AllowancesGrowAgainWithTime) {
  Start();
  const std::string settings = FrameHeader(0, NGHTTP2_SETTINGS, 0, 0);
  for (uint32_t i = 0; i + 1 < kSettingsAllowed.at_once; ++i) client_->SendRaw(settings);
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(1)));
  for (uint32_t i = 0; i < kSettingsAllowed.per_second; ++i) client_->SendRaw(settings);
  EXPECT_TRUE(client_->is_open);
}

TEST_F(Http2SessionTest, LowerStreamIdIsAProtocolError) {
  Start();
  nghttp2_session_set_next_stream_id(client_->ng(), 5);
  client_->Open(Fields("GET", "/echo"), true);
  client_->SendRaw(FrameHeader(1, NGHTTP2_HEADERS, 5, 3) + "\x82");
  EXPECT_FALSE(client_->is_open);
  EXPECT_EQ(Goaway(), NGHTTP2_PROTOCOL_ERROR);
}

TEST_F(Http2SessionTest, PeerThatDoesNotReadIsNotReadFrom) {
  Start();
  // Answers pile up while nothing is flushed.
  std::string requests;
  for (uint32_t id = 1; id < 2000 && !server_->host.is_paused; id += 2) {
    client_->SendRaw("");
    const int32_t opened = client_->Open(Fields("POST", "/keep"), true);
    ASSERT_GT(opened, 0);
  }
  for (auto& call : kept_) {
    HttpResponse response;
    response.body.AppendCopy(std::string(200, 'x'));
    call->Respond(std::move(response));
  }
  // The next bytes find too many answers waiting.
  EXPECT_TRUE(server_->Receive(FrameHeader(8, NGHTTP2_PING, 0, 0) + "12345678"));
  EXPECT_TRUE(server_->host.is_paused);
  server_->Send();
  // What is left waits for the client's window, which must be read.
  EXPECT_TRUE(server_->session().HasOutput() || !server_->session().IsIdle());
  EXPECT_FALSE(server_->host.is_paused);
}

TEST_F(Http2SessionTest, BigAnswersAreNotCopied) {
  Start();
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Big"));
  nghttp2_submit_window_update(client_->ng(), NGHTTP2_FLAG_NONE, id, 4 << 20);
  nghttp2_session_set_local_window_size(client_->ng(), NGHTTP2_FLAG_NONE, 0, 4 << 20);
  client_->Run();
  server_->Receive(
      FrameHeader(5, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, static_cast<uint32_t>(id)) +
      std::string(5, '\0'));
  ByteChain chain;
  server_->session().Fill(chain, 8 << 20);
  EXPECT_GT(chain.bytes(), size_t{1} << 20);
  Buffer* tensor = nullptr;
  size_t referenced = 0;
  for (const Slice& slice : chain.slices()) {
    if (slice.size < kReferenceBytesMin) continue;
    if (tensor == nullptr) tensor = slice.owner.get();
    EXPECT_EQ(slice.owner.get(), tensor);
    referenced += slice.size;
  }
  EXPECT_GE(referenced, (size_t{1} << 20) - kReferenceBytesMin);
  // The stream has closed, the kernel has not taken the bytes yet: they are still there.
  EXPECT_TRUE(server_->session().IsIdle());
}

TEST_F(Http2SessionTest, DrainLetsOpenStreamsFinish) {
  Start();
  const int32_t id = client_->Open(Fields("GET", "/keep"), true);
  server_->session().StartDrain();
  EXPECT_FALSE(server_->session().IsIdle());
  client_->Run();
  EXPECT_EQ(client_->goaway_codes, (std::vector<uint32_t>{0, 0}));
  EXPECT_EQ(client_->goaway_ids.front(), 0x7fffffff);
  EXPECT_EQ(client_->goaway_ids.back(), id);
  EXPECT_EQ(client_->goaway_texts.back(), "the server stops");
  EXPECT_FALSE(server_->host.wants_close);
  ASSERT_EQ(kept_.size(), 1u);
  kept_[0]->Respond({});
  client_->Run();
  EXPECT_EQ(client_->answer(id).http_status(), 200);
  EXPECT_TRUE(server_->host.wants_close);
  EXPECT_FALSE(server_->session().IsUnusedSinceDrain());
}

TEST_F(Http2SessionTest, TheEndOfTheServerAnswersWhatIsOpen) {
  Start();
  const int32_t waits = client_->Open(Fields("GET", "/keep"), true);
  const int32_t in_parts = client_->Open(Fields("GET", "/keep"), true);
  kept_[1]->RespondInParts({}, {.at_deadline = "late", .at_stop = "stop"});
  server_->session().StartDrain();
  client_->Run();
  EXPECT_FALSE(server_->session().HasOnlyBegunHead());
  CutCalls cut;
  server_->session().CutOff(kServerShutDown, cut);
  client_->Run();
  EXPECT_EQ(cut.http2, 2);
  EXPECT_EQ(client_->answer(waits).http_status(), 503);
  EXPECT_EQ(client_->answer(in_parts).body, "stop");
  EXPECT_EQ(client_->answer(in_parts).error_code, 0u);
  EXPECT_TRUE(kept_[0]->cancel().HasStopped());
  EXPECT_TRUE(server_->host.wants_close);
}

TEST_F(Http2SessionTest, AnAnswerInParts) {
  Start();
  const int32_t id = client_->Open(Fields("GET", "/keep"), true);
  std::vector<bool> accepted;
  const auto note = [&](bool is_accepted) { accepted.push_back(is_accepted); };
  kept_[0]->RespondInParts({}, {});
  kept_[0]->Write(ByteChain(WholeSlice(CopyToBuffer("one"))), note);
  client_->Run();
  EXPECT_EQ(client_->answer(id).body, "one");
  EXPECT_EQ(client_->answer(id).Field("content-length"), "");
  EXPECT_EQ(accepted, std::vector<bool>{true});
  kept_[0]->Write(ByteChain(WholeSlice(CopyToBuffer("two"))), note);
  kept_[0]->EndBody();
  client_->Run();
  EXPECT_EQ(client_->answer(id).body, "onetwo");
  EXPECT_TRUE(client_->answer(id).is_closed);
  EXPECT_EQ(client_->answer(id).error_code, 0u);
  kept_.clear();
  EXPECT_EQ(server_->loop().open_requests(), 0);
}

TEST_F(Http2SessionTest, AnAnswerInPartsWaitsForTheWindow) {
  Start();
  client_->CloseWindow();
  const int32_t id = client_->Open(Fields("GET", "/keep"), true);
  std::vector<bool> accepted;
  const auto note = [&](bool is_accepted) { accepted.push_back(is_accepted); };
  kept_[0]->RespondInParts({}, {});
  kept_[0]->Write(ByteChain(WholeSlice(AllocateBuffer(100'000))), note);
  client_->Run();
  EXPECT_TRUE(accepted.empty());
  nghttp2_submit_window_update(client_->ng(), NGHTTP2_FLAG_NONE, id, 50'000);
  client_->Run();
  EXPECT_EQ(accepted, std::vector<bool>{true}) << "few enough bytes are left";
  kept_[0]->Write(ByteChain(WholeSlice(AllocateBuffer(100'000))), note);
  client_->Reset(id);
  EXPECT_EQ(accepted, (std::vector<bool>{true, false}));
  EXPECT_TRUE(kept_[0]->cancel().IsCancelled());
}

TEST_F(Http2SessionTest, AHandlerThatDropsAnAnswerInPartsResetsTheStream) {
  Start();
  const int32_t id = client_->Open(Fields("GET", "/keep"), true);
  kept_[0]->RespondInParts({}, {});
  kept_.clear();
  client_->Run();
  EXPECT_EQ(client_->answer(id).error_code, static_cast<uint32_t>(NGHTTP2_INTERNAL_ERROR));
}

TEST_F(Http2SessionTest, DrainEndsAnIdleConnectionOnceTheClientHasSeenIt) {
  Start();
  client_->Call("/echo", "");
  EXPECT_FALSE(server_->session().IsUnusedSinceDrain());
  server_->session().StartDrain();
  EXPECT_FALSE(server_->host.wants_close);
  client_->Run();
  EXPECT_TRUE(server_->host.wants_close);
  EXPECT_TRUE(server_->session().IsUnusedSinceDrain());
}

// As Python's httpx, which reads only while it waits for an answer.
TEST_F(Http2SessionTest, DrainWaitsAQuarterOfASecondForAnIdleClientThatReadsNothing) {
  Start();
  client_->Call("/echo", "");
  server_->session().StartDrain();
  server_->Send();
  server_->Pass(std::chrono::milliseconds(240));
  server_->Send();
  EXPECT_FALSE(server_->host.wants_close);
  server_->Pass(std::chrono::milliseconds(20));
  server_->Send();
  EXPECT_TRUE(server_->host.wants_close);
  EXPECT_TRUE(server_->session().IsUnusedSinceDrain());
}

TEST_F(Http2SessionTest, DrainTakesRequestsThatWereOnTheirWay) {
  Start();
  server_->session().StartDrain();
  server_->Send();  // the client has not read it yet
  const int32_t id = client_->Open(Fields("GET", "/echo"), true);
  EXPECT_EQ(client_->answer(id).http_status(), 200);
  EXPECT_FALSE(server_->session().IsUnusedSinceDrain());
}

TEST_F(Http2SessionTest, AnOldConnectionTakesRequestsThatWereOnTheirWay) {
  Start();
  const int32_t open = client_->Open(Fields("GET", "/keep"), true);
  server_->session().AskToReconnect();
  const int32_t id = client_->Open(Fields("GET", "/echo"), true);
  EXPECT_EQ(client_->answer(id).http_status(), 200);
  EXPECT_EQ(Goaway(), NGHTTP2_NO_ERROR);
  EXPECT_EQ(client_->goaway_texts.back(), "the connection is old");
  EXPECT_FALSE(server_->host.wants_close);
  kept_[0]->Respond({});
  client_->Run();
  EXPECT_EQ(client_->answer(open).http_status(), 200);
  EXPECT_TRUE(server_->host.wants_close);
}

TEST_F(Http2SessionTest, IdleConnectionIsEndedGracefully) {
  Start();
  EXPECT_TRUE(server_->Pass(std::chrono::minutes(14)));
  client_->Run();
  EXPECT_EQ(Goaway(), std::nullopt);
  EXPECT_TRUE(server_->Pass(std::chrono::minutes(2)));
  client_->Run();
  EXPECT_EQ(Goaway(), NGHTTP2_NO_ERROR);
  EXPECT_TRUE(server_->host.wants_close);
}

TEST_F(Http2SessionTest, IdleConnectionIsToldWhyItEnds) {
  Start();
  EXPECT_TRUE(server_->Pass(std::chrono::minutes(16)));
  server_->Send();
  server_->Receive(FrameHeader(8, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0) + "penstock");
  EXPECT_TRUE(server_->Send().ends_with("the connection was idle"));
}

TEST_F(Http2SessionTest, KeepAlivePingMustBeAnswered) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.keepalive_interval = std::chrono::seconds(30);
  Start(options);
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(1)));
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(31)));
  client_->Run();  // answers
  EXPECT_EQ(client_->CountFrames(NGHTTP2_PING), 1u);
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(25)));
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(31)));
  EXPECT_FALSE(server_->Pass(std::chrono::seconds(25)));  // nobody answered this time
}

TEST_F(Http2SessionTest, UnfinishedHeadTimesOut) {
  Start();
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(1)));
  server_->Receive(FrameHeader(10, NGHTTP2_HEADERS, 0, 1) + "\x82");
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(31)));
  client_->Run();
  EXPECT_EQ(Goaway(), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2SessionTest, UnfinishedBodyTimesOut) {
  Start();
  const int32_t http = client_->Open(Fields("POST", "/echo"));
  const int32_t grpc = client_->Open(FakeHttp2Client::GrpcFields("/t.T/Big"));
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(10)));
  client_->Data(http, "a");
  EXPECT_TRUE(server_->Pass(std::chrono::seconds(61)));
  client_->Run();
  EXPECT_EQ(client_->answer(http).http_status(), 408);
  EXPECT_EQ(client_->answer(grpc).grpc_status(), 4);
}

TEST_F(Http2SessionTest, BadPrefaceClosesTheConnection) {
  FakeHttp2Server server(router_);
  EXPECT_FALSE(server.Receive("GET / HTTP/1.1\r\n\r\n, which is longer than the preface"));
}

TEST_F(Http2SessionTest, BytesMayComeOneByOne) {
  FakeHttp2Server server(router_);
  const std::string bytes = std::string(kPreface) + FrameHeader(0, NGHTTP2_SETTINGS, 0, 0) +
                            FrameHeader(8, NGHTTP2_PING, 0, 0) + "12345678";
  for (const char c : bytes) EXPECT_TRUE(server.Receive({&c, 1}));
  EXPECT_NE(server.Send().find("12345678"), std::string::npos);
}

TEST_F(Http2SessionTest, SmallFlushesGiveTheSameBytes) {
  Start();
  const int32_t id = client_->Open(Fields("POST", "/echo"));
  client_->Data(id, std::string(300'000, 'y'));
  server_->Receive("");
  client_->Data(id, "", true);
  EXPECT_EQ(client_->answer(id).body, std::string(300'000, 'y'));
}

}  // namespace
}  // namespace penstock::net
