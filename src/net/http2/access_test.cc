// SPDX-License-Identifier: Apache-2.0
// Who may use which route, over HTTP/2.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "access/access_control.h"
#include "net/http2/client_fake.h"

namespace penstock::net {
namespace {

access::AccessTable Table(std::string_view token) {
  access::AccessTable table;
  access::Caller& caller = table.Add("team");
  caller.Allow(access::Operation::kInfer, "*");
  EXPECT_TRUE(table.AddToken(access::HashOf(token), caller));
  return table;
}

// A server with a route of each kind. One thread.
class Http2AccessTest : public testing::Test {
 protected:
  Http2AccessTest() {
    const auto answer = [this](GrpcCallRef call) {
      seen_ = call->head().caller == nullptr ? "null" : call->head().caller->name();
      call->Respond({});
    };
    router_.AddGrpc({.method = "/t.T/Callers", .handler = answer, .access = RouteAccess::kCallers});
    router_.AddGrpc(
        {.method = "/t.T/Everyone", .handler = answer, .access = RouteAccess::kEveryone});
    router_.AddGrpc({.method = "/t.T/Nobody", .handler = answer});
    router_.AddHttp({.path = "/callers",
                     .methods = {"GET"},
                     .handler = [](HttpCallRef call) { call->Respond({}); },
                     .access = RouteAccess::kCallers});
  }
  void Start(const access::AccessControl* control) {
    ServerOptions options = FakeHttp2Server::DefaultOptions();
    options.access = control;
    server_.emplace(router_, std::move(options));
    client_.emplace(*server_);
  }
  void TearDown() override {
    client_.reset();
    server_.reset();
  }
  // Returns the status of a gRPC call with these values of the authorization field.
  int Status(const std::string& method, const std::vector<std::string>& authorization) {
    FakeFields more;
    for (const std::string& value : authorization) more.emplace_back("authorization", value);
    const int32_t id = client_->Open(FakeHttp2Client::GrpcFields(method, more));
    if (!client_->answer(id).is_closed)
      client_->Data(id, FakeHttp2Client::Framed("x"), /*is_end=*/true);
    return client_->answer(id).grpc_status();
  }

  static constexpr int kOk = 0, kDenied = 7, kUnimplemented = 12, kUnauthenticated = 16;
  Router router_;
  std::string seen_;  // the caller of the last call
  std::optional<FakeHttp2Server> server_;
  std::optional<FakeHttp2Client> client_;
};

TEST_F(Http2AccessTest, WithoutATokenFileNobodyIsAsked) {
  Start(nullptr);
  for (const char* method : {"/t.T/Callers", "/t.T/Everyone", "/t.T/Nobody"})
    EXPECT_EQ(Status(method, {"Bearer whatever"}), kOk);
  EXPECT_EQ(seen_, "null");
}

TEST_F(Http2AccessTest, ARouteIsForItsCallers) {
  const access::AccessControl control(Table("secret"));
  Start(&control);
  EXPECT_EQ(Status("/t.T/Callers", {"Bearer secret"}), kOk);
  EXPECT_EQ(seen_, "team");
  EXPECT_EQ(Status("/t.T/Callers", {}), kUnauthenticated);
  EXPECT_EQ(Status("/t.T/Callers", {"Bearer wrong"}), kUnauthenticated);
  EXPECT_EQ(Status("/t.T/Callers", {"Bearer secret", "Bearer secret"}), kUnauthenticated);
  EXPECT_EQ(Status("/t.T/Everyone", {}), kOk);
  EXPECT_EQ(seen_, "nobody");
  EXPECT_EQ(Status("/t.T/Nobody", {"Bearer secret"}), kDenied);
}

TEST_F(Http2AccessTest, StrangersDoNotLearnWhichMethodsExist) {
  const access::AccessControl control(Table("secret"));
  Start(&control);
  EXPECT_EQ(Status("/t.T/None", {}), kUnauthenticated);
  EXPECT_EQ(Status("/t.T/None", {"Bearer secret"}), kUnimplemented);
}

// A gRPC method, a path and nothing at all answer the same to a stranger, for each HTTP method.
TEST_F(Http2AccessTest, StrangersDoNotLearnWhichPathsExist) {
  const access::AccessControl control(Table("secret"));
  Start(&control);
  for (const char* method : {"GET", "POST", "OPTIONS", "DELETE"}) {
    const auto ask = [&](const char* path, const char* token) {
      return client_->answer(client_->Open({{":method", method},
                                            {":scheme", "http"},
                                            {":path", path},
                                            {":authority", "test"},
                                            {"origin", "http://a"},
                                            {"authorization", token}},
                                           /*is_end=*/true));
    };
    const FakeAnswer none = ask("/none", "Bearer wrong");
    for (const char* path : {"/callers", "/t.T/Callers", "/t.T/Nobody"}) {
      const FakeAnswer answer = ask(path, "Bearer wrong");
      EXPECT_EQ(answer.http_status(), none.http_status()) << method << path;
      EXPECT_EQ(answer.Field("allow"), none.Field("allow")) << method << path;
      EXPECT_EQ(answer.body, none.body) << method << path;
    }
  }
  const FakeAnswer known = client_->answer(client_->Open({{":method", "POST"},
                                                          {":scheme", "http"},
                                                          {":path", "/t.T/Callers"},
                                                          {":authority", "test"},
                                                          {"authorization", "Bearer secret"}},
                                                         /*is_end=*/true));
  EXPECT_EQ(known.http_status(), 415);
}

TEST_F(Http2AccessTest, ATokenThatIsWithdrawnEndsOnOpenConnections) {
  access::AccessControl control(Table("secret"));
  Start(&control);
  EXPECT_EQ(Status("/t.T/Callers", {"Bearer secret"}), kOk);
  control.Replace(Table("another"));
  EXPECT_EQ(Status("/t.T/Callers", {"Bearer secret"}), kUnauthenticated);
  EXPECT_EQ(Status("/t.T/Callers", {"Bearer another"}), kOk);
}

TEST_F(Http2AccessTest, PlainHttpGets401WithTheScheme) {
  const access::AccessControl control(Table("secret"));
  Start(&control);
  const auto get = [this](FakeFields more) {
    FakeFields fields = {
        {":method", "GET"}, {":scheme", "http"}, {":path", "/callers"}, {":authority", "test"}};
    fields.insert(fields.end(), more.begin(), more.end());
    return client_->answer(client_->Open(fields, /*is_end=*/true));
  };
  const FakeAnswer refused = get({});
  EXPECT_EQ(refused.http_status(), 401);
  EXPECT_EQ(refused.Field("www-authenticate"), "Bearer");
  EXPECT_EQ(get({{"authorization", "Bearer secret"}}).http_status(), 200);
}

}  // namespace
}  // namespace penstock::net
