// SPDX-License-Identifier: Apache-2.0
#include "net/http2/fields.h"

#include <gtest/gtest.h>

#include <string>

#include "net/http2/client_fake.h"

namespace penstock::net {
namespace {

constexpr FieldKind kMalformed = FieldKind::kMalformed;

TEST(ClassifyField, KnowsTheFieldsThatTheServerLooksAt) {
  EXPECT_EQ(ClassifyField(":method", "POST"), FieldKind::kMethod);
  EXPECT_EQ(ClassifyField(":path", "/a?b=%20"), FieldKind::kPath);
  EXPECT_EQ(ClassifyField(":scheme", "https"), FieldKind::kScheme);
  EXPECT_EQ(ClassifyField(":authority", "[::1]:8500"), FieldKind::kAuthority);
  EXPECT_EQ(ClassifyField("host", "a"), FieldKind::kHost);
  EXPECT_EQ(ClassifyField("content-type", "application/grpc"), FieldKind::kContentType);
  EXPECT_EQ(ClassifyField("content-length", "0"), FieldKind::kContentLength);
  EXPECT_EQ(ClassifyField("expect", "100-continue"), FieldKind::kExpect);
  EXPECT_EQ(ClassifyField("grpc-timeout", "1S"), FieldKind::kGrpcTimeout);
  EXPECT_EQ(ClassifyField("grpc-encoding", "gzip"), FieldKind::kGrpcEncoding);
  EXPECT_EQ(ClassifyField("grpc-accept-encoding", "gzip"), FieldKind::kGrpcAcceptEncoding);
  EXPECT_EQ(ClassifyField("x-request-id", ""), FieldKind::kOther);
  EXPECT_EQ(ClassifyField("te", "Trailers"), FieldKind::kOther);
}

TEST(ClassifyField, RefusesPseudoFieldsThatNoRequestHas) {
  for (const std::string_view name : {":", ":status", ":protocol", ":Path", ":method "})
    EXPECT_EQ(ClassifyField(name, "200"), kMalformed) << name;
  EXPECT_EQ(ClassifyField(":method", ""), kMalformed);
  EXPECT_EQ(ClassifyField(":method", "GET /"), kMalformed);
  EXPECT_EQ(ClassifyField(":path", ""), kMalformed);
  EXPECT_EQ(ClassifyField(":path", "/a b"), kMalformed);
  EXPECT_EQ(ClassifyField(":scheme", "ht tp"), kMalformed);
  EXPECT_EQ(ClassifyField(":authority", "a\r"), kMalformed);
}

TEST(ClassifyField, RefusesFieldsOfHttp1) {
  for (const std::string_view name :
       {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
    EXPECT_EQ(ClassifyField(name, "x"), kMalformed) << name;
  EXPECT_EQ(ClassifyField("te", "gzip"), kMalformed);
}

TEST(ClassifyField, RefusesWrongCharactersInNames) {
  for (const std::string_view name : {"", "X-a", "x a", "x:a", "x\x7f", "x\xe4", "x\n", "x,"})
    EXPECT_EQ(ClassifyField(name, "v"), kMalformed) << name;
  EXPECT_EQ(ClassifyField(std::string_view("x\0a", 3), "v"), kMalformed);
  EXPECT_EQ(ClassifyField("x-!#$%&'*+.^_`|~09", "v"), FieldKind::kOther);
}

// At every place of a long value, so within eight bytes and behind the last eight.
TEST(ClassifyField, RefusesControlCharactersInValuesWhereverTheyAre) {
  const std::string clean(21, 'v');
  for (size_t at = 0; at < clean.size(); ++at) {
    for (const char c : {'\0', '\n', '\r', '\x1f', '\x7f'}) {
      std::string value = clean;
      value[at] = c;
      EXPECT_EQ(ClassifyField("x-a", value), kMalformed) << at << ' ' << int{c};
      EXPECT_EQ(ClassifyField(":path", "/" + value), kMalformed) << at << ' ' << int{c};
    }
    for (const char c : {'\x21', '\x7e', '\x80', '\xff'}) {
      std::string value = clean;
      value[at] = c;
      EXPECT_EQ(ClassifyField("x-a", value), FieldKind::kOther) << at << ' ' << int{c};
    }
  }
  EXPECT_EQ(ClassifyField("x-a", "a\tb c d e f g h i j"), FieldKind::kOther);
  for (const std::string_view value : {" a", "a ", "\ta", "a\t", " "})
    EXPECT_EQ(ClassifyField("x-a", value), kMalformed);
}

TEST(ClassifyField, ContentLengthIsDigits) {
  for (const std::string_view value : {"", "-1", "+1", "1a", "1,1", "0x1"})
    EXPECT_EQ(ClassifyField("content-length", value), kMalformed) << value;
}

TEST(FieldOrder, PseudoFieldsComeFirstAndOnce) {
  FieldOrder order;
  EXPECT_TRUE(order.Add(FieldKind::kMethod));
  EXPECT_FALSE(order.Add(FieldKind::kMethod));
  EXPECT_TRUE(order.Add(FieldKind::kPath));
  EXPECT_TRUE(order.Add(FieldKind::kOther));
  EXPECT_TRUE(order.Add(FieldKind::kOther));
  EXPECT_FALSE(order.Add(FieldKind::kScheme));
  EXPECT_FALSE(order.Add(kMalformed));
  EXPECT_TRUE(order.Add(FieldKind::kContentLength));
  EXPECT_FALSE(order.Add(FieldKind::kContentLength));
  EXPECT_TRUE(order.Add(FieldKind::kHost));
  EXPECT_FALSE(order.Add(FieldKind::kHost));
  order.Clear();
  EXPECT_TRUE(order.Add(FieldKind::kMethod));
}

bool IsComplete(std::initializer_list<FieldKind> kinds, std::string_view method,
                std::string_view path) {
  FieldOrder order;
  for (const FieldKind kind : kinds) EXPECT_TRUE(order.Add(kind));
  return order.IsComplete(method, path);
}

TEST(FieldOrder, ARequestHasMethodSchemeAndPath) {
  const auto method = FieldKind::kMethod, scheme = FieldKind::kScheme, path = FieldKind::kPath;
  EXPECT_TRUE(IsComplete({method, scheme, path}, "GET", "/"));
  EXPECT_FALSE(IsComplete({scheme, path}, "", "/"));
  EXPECT_FALSE(IsComplete({method, path}, "GET", "/"));
  EXPECT_FALSE(IsComplete({method, scheme}, "GET", ""));
  EXPECT_FALSE(IsComplete({method, scheme, path}, "GET", "*"));
  EXPECT_TRUE(IsComplete({method, scheme, path}, "OPTIONS", "*"));
  EXPECT_TRUE(IsComplete({method, FieldKind::kAuthority}, "CONNECT", ""));
  EXPECT_FALSE(IsComplete({method}, "CONNECT", ""));
}

// Requests to a session whose handler keeps the heads. One thread.
class FieldMemoTest : public testing::Test {
 protected:
  FieldMemoTest() {
    HttpRoute route;
    route.path = "/*";
    route.handler = [this](HttpCallRef call) {
      seen_.assign(call->head().headers.begin(), call->head().headers.end());
      names_.clear();
      for (const Header& header : seen_)
        names_ += std::string(header.name) + "=" + std::string(header.value) + ";";
      call->Respond({});
    };
    router_.AddHttp(std::move(route));
  }
  // What the handler saw, or the reset's code.
  std::string Send(FakeFields more) {
    FakeFields fields = {{":method", "GET"}, {":scheme", "http"}, {":path", "/x"}};
    fields.insert(fields.end(), more.begin(), more.end());
    names_.clear();
    const int32_t id = client_.Open(fields, true);
    const uint32_t code = client_.answer(id).error_code;
    return code == 0 ? names_ : "reset " + std::to_string(code);
  }

  Router router_;
  std::vector<Header> seen_;
  std::string names_;
  FakeHttp2Server server_{router_, FakeHttp2Server::DefaultOptions()};
  FakeHttp2Client client_{server_};
};

TEST_F(FieldMemoTest, FieldsThatComeAgainAreTheSame) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Send({{"a", "1"}, {"b", "2"}}), "a=1;b=2;");
}

TEST_F(FieldMemoTest, FieldsMayChangePlacesAndValues) {
  EXPECT_EQ(Send({{"a", "1"}, {"b", "2"}}), "a=1;b=2;");
  EXPECT_EQ(Send({{"b", "2"}, {"a", "1"}}), "b=2;a=1;");
  EXPECT_EQ(Send({{"b", "3"}}), "b=3;");
  EXPECT_EQ(Send({{"c", "3"}, {"b", "3"}}), "c=3;b=3;");
  EXPECT_EQ(Send({{"a", "1"}, {"b", "2"}}), "a=1;b=2;");
}

TEST_F(FieldMemoTest, MalformedFieldsStayMalformed) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Send({{"connection", "close"}}), "reset 1");
    EXPECT_EQ(Send({{"te", "gzip"}}), "reset 1");
    EXPECT_EQ(Send({{"te", "trailers"}}), "te=trailers;");
  }
}

TEST_F(FieldMemoTest, MoreFieldsThanAreRemembered) {
  FakeFields many;
  std::string expected;
  for (int i = 0; i < 40; ++i) {
    many.emplace_back("x-" + std::to_string(i), std::string(static_cast<size_t>(i) * 20, 'v'));
    expected += many.back().first + "=" + many.back().second + ";";
  }
  EXPECT_EQ(Send(many), expected);
  EXPECT_EQ(Send(many), expected);
  EXPECT_EQ(Send({{"a", "1"}}), "a=1;");
}

}  // namespace
}  // namespace penstock::net
