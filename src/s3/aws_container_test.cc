// SPDX-License-Identifier: Apache-2.0
#include "s3/aws_container.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "base/os/test_folder.h"
#include "s3/aws_credentials.h"
#include "s3/http_server_fake.h"
#include "s3/s3_listing.h"

namespace penstock {
namespace {

using testing::HasSubstr;
using Time = std::chrono::system_clock::time_point;

constexpr const char* kUri = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

Time At(const char* text) { return ParseTime(text, kXmlTime).value(); }

std::string Document(const std::string& id, const char* end = "2026-11-22T13:00:00Z") {
  return FakeHttpServer::Ok(
      fmt::format(R"({{"RoleArn":"r","AccessKeyId":"{}","SecretAccessKey":"s/+","Token":"t==",)"
                  R"("Expiration":"{}"}})",
                  id, end));
}

// A host of containers that says what the test wants. One thread, beside the server's.
class AwsContainerTest : public ::testing::Test {
 protected:
  void Serve(FakeHttpServer::Answer answer) {
    server_ = std::make_unique<FakeHttpServer>(std::move(answer));
    container_.full_uri = fmt::format("http://127.0.0.1:{}/v1/keys?a=b", server_->port());
  }
  // "id secret token" or the error.
  std::string Asked() {
    const auto keys = AskContainer(container_, now_, is_cancelled_);
    code_ = keys.status().code();
    if (!keys.ok()) return std::string(MessageOf(keys.status()));
    const AwsCredentials& c = keys->credentials;
    return c.access_key_id + " " + c.secret_access_key + " " + c.session_token;
  }
  std::string AskedOf(const std::string& answer) {
    Serve([answer](const std::string&) { return answer; });
    return Asked();
  }
  bool HasHeader(std::string_view header) const {
    return server_->heads().back().find(header) != std::string::npos;
  }

  const TestFolder root_;
  std::atomic<bool> is_cancelled_ = false;
  AwsContainer container_;
  Time now_ = At("2026-11-22T12:00:00");
  StatusCode code_ = StatusCode::kOk;
  std::unique_ptr<FakeHttpServer> server_;
};

TEST_F(AwsContainerTest, KeysOfAnAddressWithAndWithoutToken) {
  EXPECT_EQ(AskedOf(Document("id")), "id s/+ t==");
  EXPECT_TRUE(server_->heads()[0].starts_with("GET /v1/keys?a=b HTTP/1.1\r\n"));
  EXPECT_FALSE(HasHeader("authorization"));
  container_.token = "Basic abc";
  Asked();
  EXPECT_TRUE(HasHeader("authorization: Basic abc\r\n"));
  // The file goes before it, and is read each time.
  for (const char* token : {"first", "second\n"}) {
    container_.token_file = root_.Write("token", token);
    Asked();
    EXPECT_TRUE(
        HasHeader(fmt::format("authorization: {}\r\n", token[0] == 'f' ? token : "second")));
  }
}

TEST_F(AwsContainerTest, RelativeAddressGoesBeforeTheFullOne) {
  Serve([](const std::string&) { return Document("id"); });
  container_.ecs = {.host = "127.0.0.1", .port = std::to_string(server_->port()), .tls = false};
  container_.full_uri = "http://127.0.0.1:1";
  container_.relative_uri = "/v2/credentials/x";
  container_.token = "t";
  EXPECT_EQ(Asked(), "id s/+ t==");
  EXPECT_TRUE(server_->heads()[0].starts_with("GET /v2/credentials/x HTTP/1.1\r\n"));
  EXPECT_TRUE(HasHeader("authorization: t\r\n"));
  container_.relative_uri = "v2";
  EXPECT_EQ(CheckContainer(container_),
            absl::InvalidArgumentError("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is 'v2', but should "
                                       "be a path like /v2/credentials/id"));
}

TEST_F(AwsContainerTest, PlainHttpIsForHostsThatAreNearOnly) {
  const auto checked = [this](const char* uri) {
    container_.full_uri = uri;
    return CheckContainer(container_);
  };
  for (const char* good :
       {"http://127.0.0.1", "http://127.9.9.9:99/x", "http://localhost:1/", "http://[::1]:8/x?y",
        "http://169.254.170.2/x", "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1/credentials", "https://keys.example/x", "https://1.2.3.4?x"}) {
    EXPECT_EQ(checked(good), OkStatus()) << good;
  }
  for (const char* far : {"http://169.254.169.254/x", "http://10.0.0.1", "http://localhost.example",
                          "http://127.0.0.1.example", "http://[::2]", "http://2130706433"}) {
    EXPECT_EQ(checked(far).code(), StatusCode::kInvalidArgument) << far;
    EXPECT_THAT(std::string(MessageOf(checked(far))),
                HasSubstr("not asked for over plain http, unless of 127.0.0.0/8"));
  }
  for (const char* odd :
       {"", "keys", "ftp://127.0.0.1", "http://", "http://127.0.0.1:0", "http://127.0.0.1/a b",
        "http://127.0.0.1/#x", "http://a@127.0.0.1", "http://127.0.0.1\r\nx: y"}) {
    EXPECT_EQ(checked(odd),
              InvalidArgument("{} is '{}', but should be http[s]://host[:port][/path]", kUri, odd));
  }
}

TEST_F(AwsContainerTest, TokensThatCannotBeHeaders) {
  Serve([](const std::string&) { return Document("id"); });
  container_.token = "a\r\nx: y";
  EXPECT_EQ(Asked(), "AWS_CONTAINER_AUTHORIZATION_TOKEN has line ends or other odd bytes");
  const auto of_file = [this](const std::string& file) {
    container_.token_file = file;
    return Asked();
  };
  const std::string name = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
  EXPECT_EQ(of_file(root_.Write("token", "hidden\nhidden")),
            name + " has line ends or other odd bytes");
  EXPECT_EQ(of_file(root_.Write("token", "\n")),
            fmt::format("{} is '{}', which is empty", name, root_ / "token"));
  EXPECT_EQ(of_file(root_.Write("token", std::string(20'000, 'x'))),
            fmt::format("{} is '{}', which has more than 16384 bytes", name, root_ / "token"));
  EXPECT_EQ(of_file(root_ / "none"),
            fmt::format("{} is '{}', which cannot be read: No such file or directory", name,
                        root_ / "none"));
  EXPECT_THAT(of_file(root_.path()), HasSubstr("which cannot be read: Is a directory"));
  EXPECT_EQ(code_, StatusCode::kInvalidArgument);
  EXPECT_TRUE(server_->heads().empty());
}

TEST_F(AwsContainerTest, AnswersThatHoldNoKeys) {
  EXPECT_EQ(AskedOf(FakeHttpServer::Ok("hidden")), std::string(kUri) + ": the answer is no JSON");
  for (const char* json : {"{}", "[]", "null", R"({"SecretAccessKey":"hidden"})",
                           R"({"AccessKeyId":7,"SecretAccessKey":"hidden"})"}) {
    EXPECT_EQ(AskedOf(FakeHttpServer::Ok(json)),
              std::string(kUri) +
                  ": the answer has no AccessKeyId; it should be JSON with "
                  "AccessKeyId, SecretAccessKey, Token and Expiration")
        << json;
  }
  EXPECT_THAT(AskedOf(FakeHttpServer::Ok(R"({"AccessKeyId":"hidden"})")),
              HasSubstr("the answer has no SecretAccessKey"));
  EXPECT_EQ(AskedOf(FakeHttpServer::Ok(R"({"AccessKeyId":"a","SecretAccessKey":"hid\nden"})")),
            fmt::format("SecretAccessKey of the answer to {} has spaces, line ends or other odd "
                        "bytes",
                        kUri));
  EXPECT_THAT(AskedOf(Document("id", "soon")), HasSubstr("Expiration is 'soon', but should be a"));
  EXPECT_THAT(AskedOf(Document("id", "2026-11-22T13:00:00+05:00")), HasSubstr("but should be a"));
  EXPECT_THAT(
      AskedOf(Document("id", "2026-11-22T11:59:59Z")),
      HasSubstr("the keys have ended at 2026-11-22T11:59:59Z: is the clock of this machine"));
  EXPECT_EQ(code_, StatusCode::kInternal);
  EXPECT_EQ(AskedOf(FakeHttpServer::Ok(R"({"AccessKeyId":"a","SecretAccessKey":"b"})")), "a b ");
}

TEST_F(AwsContainerTest, ErrorsOfTheHost) {
  EXPECT_THAT(AskedOf(FakeHttpServer::Response("401 No", R"({"message":"bad token"})")),
              HasSubstr("answers 401: bad token; check AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
  EXPECT_EQ(code_, StatusCode::kUnauthenticated);
  EXPECT_THAT(AskedOf(FakeHttpServer::Response("404 No", "nothing")),
              HasSubstr("answers 404; check the path '/v1/keys?a=b'"));
  EXPECT_EQ(code_, StatusCode::kUnauthenticated);
  EXPECT_THAT(AskedOf(FakeHttpServer::Response("302 Found", "", "Location: http://evil/\r\n")),
              HasSubstr("answers 302"));
  for (const char* busy : {"503 No", "429 No"}) {
    AskedOf(FakeHttpServer::Response(busy, R"({"Message":"wait"})"));
    EXPECT_EQ(code_, StatusCode::kUnavailable);
  }
  EXPECT_LT(AskedOf(FakeHttpServer::Response("500 No",
                                             R"({"message":")" + std::string(9000, 'x') + R"("})"))
                .size(),
            1000U);
  EXPECT_THAT(AskedOf(FakeHttpServer::Ok(std::string(100'000, ' '))),
              HasSubstr("the answer has more than 65536 bytes"));
  server_.reset();
  EXPECT_THAT(Asked(), HasSubstr(std::string("no keys came from ") + kUri + ": cannot connect to"));
  EXPECT_EQ(code_, StatusCode::kUnavailable);
}

TEST_F(AwsContainerTest, HostThatDoesNotAnswer) {
  container_.http.stall_timeout = std::chrono::milliseconds(1);
  EXPECT_THAT(AskedOf(std::string(FakeHttpServer::kSilence)), HasSubstr("has sent nothing for"));
  EXPECT_EQ(code_, StatusCode::kDeadlineExceeded);
  container_.http = {};
  Serve([this](const std::string&) {
    is_cancelled_ = true;
    return std::string(FakeHttpServer::kSilence);
  });
  Asked();
  EXPECT_EQ(code_, StatusCode::kCancelled);
}

// The provider, by a clock that the test sets.
class AwsContainerRenewalTest : public AwsContainerTest {
 protected:
  void Begin(FakeHttpServer::Answer answer) {
    Serve(std::move(answer));
    provider_ = std::make_unique<AwsCredentialsProvider>(AwsKeySources{.container = container_},
                                                         [this] { return now_; });
    EXPECT_EQ(provider_->Check(), OkStatus());
    EXPECT_TRUE(server_->heads().empty());
  }
  // The id or the error.
  std::string Id() {
    const auto keys = provider_->Get(is_cancelled_);
    return keys.ok() ? keys->credentials.access_key_id : std::string(MessageOf(keys.status()));
  }

  std::unique_ptr<AwsCredentialsProvider> provider_;
};

TEST_F(AwsContainerRenewalTest, KeysAreRenewedBeforeTheyEnd) {
  std::atomic<int> answers = 0;
  Begin([&](const std::string&) {
    return ++answers == 1 ? Document("one", "2026-11-22T13:00:00Z")
                          : Document("two", "2026-11-22T14:00:00Z");
  });
  EXPECT_EQ(Id(), "one");
  now_ = At("2026-11-22T12:54:59");
  EXPECT_EQ(Id(), "one");
  EXPECT_EQ(answers, 1);
  now_ = At("2026-11-22T12:55:00");
  EXPECT_EQ(Id(), "two");
  EXPECT_EQ(Id(), "two");
  EXPECT_EQ(answers, 2);
}

TEST_F(AwsContainerRenewalTest, OldKeysAreUsedWhileTheyAreValid) {
  std::atomic<int> answers = 0;
  std::atomic<bool> is_broken = false;
  Begin([&](const std::string&) {
    ++answers;
    return is_broken ? FakeHttpServer::Response("500 No", "") : Document("one");
  });
  EXPECT_EQ(Id(), "one");
  is_broken = true;
  now_ = At("2026-11-22T12:56:00");
  EXPECT_EQ(Id(), "one");
  EXPECT_EQ(Id(), "one");  // it is not asked again at once
  EXPECT_EQ(answers, 2);
  now_ = At("2026-11-22T12:56:10");
  EXPECT_EQ(Id(), "one");
  EXPECT_EQ(answers, 3);
  now_ = At("2026-11-22T13:00:00");
  EXPECT_THAT(Id(), HasSubstr("answers 500"));
  is_broken = false;
  now_ = At("2026-11-22T12:00:00");
  EXPECT_EQ(provider_->Renew({}, is_cancelled_).value(), true);
  EXPECT_EQ(Id(), "one");
}

TEST_F(AwsContainerRenewalTest, KeysThatEndSoonAreNotAskedForAllTheTime) {
  std::atomic<int> answers = 0;
  Begin([&](const std::string&) {
    return Document(std::to_string(++answers), "2026-11-22T12:01:00Z");
  });
  EXPECT_EQ(Id(), "1");
  EXPECT_EQ(Id(), "1");
  now_ = At("2026-11-22T12:00:10");
  EXPECT_EQ(Id(), "2");
}

TEST_F(AwsContainerRenewalTest, RefusedKeysAreAskedForAgain) {
  std::atomic<int> answers = 0;
  Begin([&](const std::string&) { return Document(++answers < 3 ? "old" : "new"); });
  const AwsCredentials old = provider_->Get(is_cancelled_)->credentials;
  EXPECT_EQ(provider_->Renew(old, is_cancelled_).value(), false);
  EXPECT_EQ(provider_->Renew(old, is_cancelled_).value(), true);
  EXPECT_EQ(Id(), "new");
}

TEST_F(AwsContainerRenewalTest, ThreadsThatNeedKeysShareOneAnswer) {
  std::atomic<int> answers = 0;
  std::atomic<int> asking = 0;
  Begin([&](const std::string&) {
    ++answers;
    while (asking < 4) std::this_thread::yield();
    return Document("one");
  });
  std::vector<std::thread> threads;
  std::atomic<int> ids = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      ++asking;
      if (Id() == "one") ++ids;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ids, 4);
  EXPECT_LE(answers, 2);  // one that came too late to wait finds the keys
}

TEST_F(AwsContainerRenewalTest, OneThatIsCancelledTakesNoOtherWithIt) {
  std::atomic<int> answers = 0;
  std::atomic<bool> is_first_cancelled = false;
  Begin([&](const std::string&) {
    return ++answers == 1 ? std::string(FakeHttpServer::kSilence) : Document("one");
  });
  std::thread first([&] {
    const Status status = provider_->Get(is_first_cancelled).status();
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kCancelled)
        << status;  // who was quicker
  });
  while (answers == 0) std::this_thread::yield();
  std::thread second([&] { EXPECT_EQ(Id(), "one"); });
  is_first_cancelled = true;
  first.join();
  second.join();
}

TEST_F(AwsContainerRenewalTest, VariablesAndFilesGoFirst) {
  Serve([](const std::string&) { return Document("container"); });
  const std::string file =
      root_.Write("keys", "[default]\naws_access_key_id=file\naws_secret_access_key=s\n");
  for (const auto& [id, credentials, path] :
       {std::tuple("variable", AwsCredentials{"variable", "s", ""}, file),
        {"file", {}, file},
        {"container", {}, root_ / "none"}}) {
    AwsCredentialsProvider provider(
        AwsKeySources{
            .environment = credentials, .credentials_file = path, .container = container_},
        [this] { return now_; });
    EXPECT_EQ(provider.Check(), OkStatus());
    const auto keys = provider.Get(is_cancelled_);
    ASSERT_EQ(keys.status(), OkStatus());
    EXPECT_EQ(keys->credentials.access_key_id, id);
  }
}

}  // namespace
}  // namespace penstock
