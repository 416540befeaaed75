// SPDX-License-Identifier: Apache-2.0
#include "s3/url_download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/encoding/hex.h"
#include "base/os/test_folder.h"
#include "s3/http_server_fake.h"

namespace penstock {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class UrlDownloadTest : public testing::Test {
 protected:
  // Serves `answer` for each path, and returns the URL of `path` there.
  std::string Serve(FakeHttpServer::Answer answer, std::string_view path = "/m/model.pb?key=abc") {
    server_.emplace(std::move(answer));
    return fmt::format("http://127.0.0.1:{}{}", server_->port(), path);
  }
  StatusOr<DownloadedFile> Download(const std::string& url) {
    return DownloadUrl(url, file_, limits_, kNever);
  }
  // The error of the download, which must leave no file behind.
  Status ErrorOf(const std::string& url) {
    const Status status = Download(url).status();
    EXPECT_FALSE(std::filesystem::exists(file_));
    return status;
  }

  const TestFolder folder_;
  const std::string file_ = folder_ / "file";
  DownloadLimits limits_;
  std::optional<FakeHttpServer> server_;
};

TEST_F(UrlDownloadTest, WritesTheFileAndItsHash) {
  const std::string url = Serve([](const std::string&) { return FakeHttpServer::Ok("abc"); });
  const StatusOr<DownloadedFile> done = Download(url);
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->bytes, 3U);
  std::string hash;
  AppendHex(hash, done->sha256);
  EXPECT_EQ(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(folder_.Read("file"), "abc");
  EXPECT_THAT(server_->heads().at(0),
              AllOf(HasSubstr("GET /m/model.pb?key=abc HTTP/1.1"), HasSubstr("host: 127.0.0.1:")));
}

TEST_F(UrlDownloadTest, FollowsRedirects) {
  const std::string url = Serve([](const std::string& head) {
    const auto to = [](std::string_view place) {
      return FakeHttpServer::Response("302 Found", "see there",
                                      fmt::format("Location: {}\r\n", place));
    };
    if (head.starts_with("GET /m/model.pb")) return to("other");
    if (head.starts_with("GET /m/other ")) return to("/third?x");
    return FakeHttpServer::Ok("the file");
  });
  EXPECT_TRUE(Download(url).ok());
  EXPECT_EQ(folder_.Read("file"), "the file");
  EXPECT_THAT(server_->heads().at(2), HasSubstr("GET /third?x HTTP/1.1"));
}

TEST_F(UrlDownloadTest, RedirectsAreResolvedAsRfc3986Says) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"../up.pb", "/a/up.pb"},      {"../../../up.pb", "/up.pb"},
      {"./here.pb", "/a/b/here.pb"}, {"?x=1", "/a/b/c?x=1"},
      {"/p/./../q/..", "/"},         {"d/../e?y=/../", "/a/b/e?y=/../"},
      {"//127.0.0.1:PORT/z", "/z"},  {"HTTP://127.0.0.1:PORT/Z", "/Z"},
      {"/p//q/#part", "/p//q/"},     {"..", "/a/"}};
  for (const auto& [location, target] : cases) {
    const std::string url = Serve(
        [&, location = location](const std::string& head) {
          if (!head.starts_with("GET /a/b/c ")) return FakeHttpServer::Ok("the file");
          std::string to(location);
          if (const size_t at = to.find("PORT"); at != std::string::npos)
            to.replace(at, 4, std::to_string(server_->port()));
          return FakeHttpServer::Response("302 Found", "", fmt::format("Location: {}\r\n", to));
        },
        "/a/b/c");
    ASSERT_TRUE(Download(url).ok()) << location;
    EXPECT_THAT(server_->heads().at(1), HasSubstr(fmt::format("GET {} HTTP/1.1", target)));
  }
  const std::string url = Serve([](const std::string&) {
    return FakeHttpServer::Response("302 Found", "", "Location: file:///etc/x?key=abc\r\n");
  });
  EXPECT_THAT(std::string(MessageOf(ErrorOf(url))),
              AllOf(HasSubstr("the redirect to file:///etc/x is no URL"), Not(HasSubstr("abc"))));
}

TEST_F(UrlDownloadTest, ARoundOfRedirectsEnds) {
  const std::string url = Serve([](const std::string&) {
    return FakeHttpServer::Response("301 Moved", "", "Location: /\r\n");
  });
  const Status status = ErrorOf(url);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("more than 5 redirects"));
  EXPECT_EQ(server_->heads().size(), 6U);
}

TEST_F(UrlDownloadTest, OtherAnswersAreErrors) {
  const auto code_of = [&](std::string_view answer) {
    const std::string url =
        Serve([answer](const std::string&) { return FakeHttpServer::Response(answer, "a page"); });
    const Status status = ErrorOf(url);
    // Not what is behind "?", which may be a secret.
    EXPECT_THAT(std::string(MessageOf(status)),
                AllOf(HasSubstr("/m/model.pb: "), Not(HasSubstr("abc"))));
    return status.code();
  };
  EXPECT_EQ(code_of("404 Not Found"), StatusCode::kNotFound);
  EXPECT_EQ(code_of("403 Forbidden"), StatusCode::kPermissionDenied);
  EXPECT_EQ(code_of("500 Internal Server Error"), StatusCode::kUnavailable);
  EXPECT_EQ(code_of("302 Found"), StatusCode::kUnavailable);  // without a location
}

TEST_F(UrlDownloadTest, LimitsHold) {
  limits_.bytes_max = 4;
  std::string url = Serve([](const std::string&) { return FakeHttpServer::Ok("12345"); });
  EXPECT_EQ(ErrorOf(url).code(), StatusCode::kResourceExhausted);
  // Of all answers together.
  url = Serve([](const std::string&) {
    return FakeHttpServer::Response("302 Found", "123", "Location: /\r\n");
  });
  EXPECT_EQ(ErrorOf(url).code(), StatusCode::kResourceExhausted);
  limits_ = {.time_max = Duration::zero()};
  url = Serve([](const std::string&) { return FakeHttpServer::Ok("12345"); });
  EXPECT_EQ(ErrorOf(url).code(), StatusCode::kDeadlineExceeded);
}

TEST_F(UrlDownloadTest, ADownloadThatStandsStillEndsInTime) {
  limits_.time_max = std::chrono::milliseconds(250);
  for (const std::string_view answer :
       {FakeHttpServer::kSilence, std::string_view("HTTP/1.1 200 OK\r\nHead: <drip>")}) {
    const std::string url = Serve([answer](const std::string&) { return std::string(answer); });
    const Status status = ErrorOf(url);
    EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded) << answer;
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("not complete after 0.25 s")) << answer;
  }
}

TEST_F(UrlDownloadTest, AFileThatIsCutShortIsAnError) {
  const std::string url =
      Serve([](const std::string&) { return "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"; });
  EXPECT_EQ(ErrorOf(url).code(), StatusCode::kUnavailable);
}

TEST_F(UrlDownloadTest, ACompressedAnswerIsAnError) {
  const std::string url = Serve(
      [](const std::string&) { return FakeHttpServer::Ok("zzz", "Content-Encoding: gzip\r\n"); });
  EXPECT_THAT(std::string(MessageOf(ErrorOf(url))), HasSubstr("compressed (gzip)"));
}

TEST_F(UrlDownloadTest, TextsThatAreNoUrls) {
  for (const char* url : {"http://", "http:///m.pb", "https://user@host/m.pb", "http://host/a b",
                          "http://host:0/m.pb", "/m.pb", "ftp://host/m.pb"}) {
    const Status status = ErrorOf(url);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("it is no URL")) << url;
  }
  EXPECT_THAT(
      std::string(MessageOf(
          DownloadUrl("http://host/m.pb", folder_ / "none/file", limits_, kNever).status())),
      HasSubstr("cannot write"));
}

TEST_F(UrlDownloadTest, NamesAndPasswordsAreNotShown) {
  EXPECT_EQ(UrlForLogs("http://me:pass@h:1/a@b?key#x"), "http://h:1/a@b");
  EXPECT_EQ(UrlForLogs("https://h/a"), "https://h/a");
  EXPECT_EQ(UrlForLogs("https://me@h"), "https://h");
  EXPECT_EQ(UrlForLogs("?sig=x"), "");
  EXPECT_THAT(std::string(MessageOf(ErrorOf("https://me:pass@host/m.pb"))),
              AllOf(HasSubstr("https://host/m.pb"), Not(HasSubstr("pass"))));
}

TEST_F(UrlDownloadTest, ThePathOfAUrl) {
  EXPECT_EQ(PathOfUrl("https://host:1/a/model.pb?x=/y#z"), "/a/model.pb");
  EXPECT_EQ(PathOfUrl("http://host"), "/");
  EXPECT_EQ(PathOfUrl("/a/b?c"), "/a/b");
}

}  // namespace
}  // namespace penstock
