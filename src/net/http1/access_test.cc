// SPDX-License-Identifier: Apache-2.0
// Who may use which route, over HTTP/1.1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "access/access_control.h"
#include "net/http1/session_fake.h"

namespace penstock::net {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A server whose callers have the token "secret". One thread.
class Http1AccessTest : public testing::Test {
 protected:
  Http1AccessTest() : control_(Table()) {
    router_.AddHttp({.path = "/callers",
                     .methods = {"GET", "POST"},
                     .handler = [](HttpCallRef call) { call->Respond({}); },
                     .access = RouteAccess::kCallers});
  }
  static access::AccessTable Table() {
    access::AccessTable table;
    const access::Caller& caller = table.Add("team");
    EXPECT_TRUE(table.AddToken(access::HashOf("secret"), caller));
    return table;
  }
  std::string Ask(const std::string& request) {
    ServerOptions options = FakeHttp1Server::DefaultOptions();
    options.access = &control_;
    options.cors = true;
    return FakeHttp1Server(router_, std::move(options)).Ask(request);
  }
  static std::string Get(const std::string& path, const std::string& fields) {
    return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
  }

  const access::AccessControl control_;
  Router router_;
};

TEST_F(Http1AccessTest, KnownCallersGetIn) {
  EXPECT_THAT(Ask(Get("/callers", "Authorization: Bearer secret\r\n")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(Get("/none", "authorization: bearer secret\r\n")), StartsWith("HTTP/1.1 404"));
}

TEST_F(Http1AccessTest, StrangersGet401ForEveryPath) {
  for (const char* path : {"/callers", "/none"}) {
    for (const char* fields :
         {"", "Authorization: Bearer wrong\r\n", "Authorization: Basic c2VjcmV0\r\n",
          "Authorization: Bearer secret\r\nAuthorization: Bearer secret\r\n"}) {
      const std::string answer = Ask(Get(path, fields));
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 401")) << fields;
      EXPECT_THAT(answer, HasSubstr("www-authenticate: Bearer\r\n"));
    }
  }
}

TEST_F(Http1AccessTest, ABodyOfAStrangerIsNotWaitedFor) {
  EXPECT_THAT(Ask("POST /callers HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"),
              StartsWith("HTTP/1.1 401"));
}

TEST_F(Http1AccessTest, APreflightNeedsNoTokenAndAllowsToSendOne) {
  const std::string answer =
      Ask("OPTIONS /callers HTTP/1.1\r\nHost: h\r\nOrigin: https://page\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("access-control-allow-headers: Content-Type, Authorization\r\n"));
}

}  // namespace
}  // namespace penstock::net
