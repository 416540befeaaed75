// SPDX-License-Identifier: Apache-2.0
// What a server may say that is wrong, or means to do harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "s3/s3_client_fixture.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// Errors of listings. One thread, beside the server's.
class S3AnswersTest : public S3ClientTest {
 protected:
  std::string Said(const char* status, const std::string& xml, const std::string& headers = "") {
    return ListError(FakeHttpServer::Response(status, "<Error>" + xml + "</Error>", headers));
  }
  std::string SaidCode(const char* status, const std::string& code,
                       const std::string& headers = "") {
    return Said(status, "<Code>" + code + "</Code>", headers);
  }
  StatusCode Code() { return client_->List("m/", true).status().code(); }
};

TEST_F(S3AnswersTest, ErrorsInPlainWords) {
  EXPECT_THAT(SaidCode("403 Forbidden", "SignatureDoesNotMatch"),
              HasSubstr("the signature is wrong: check AWS_SECRET_ACCESS_KEY and AWS_REGION"));
  EXPECT_THAT(SaidCode("403 Forbidden", "InvalidAccessKeyId"),
              HasSubstr("AWS_ACCESS_KEY_ID is not known there"));
  EXPECT_THAT(SaidCode("403 Forbidden", "AccessDenied"),
              HasSubstr("access is denied to AWS_ACCESS_KEY_ID: it needs the right s3:ListBucket"));
  EXPECT_EQ(Code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(SaidCode("403 Forbidden", "ExpiredToken"),
              HasSubstr("AWS_SESSION_TOKEN is not valid any more"));
  EXPECT_THAT(SaidCode("404 Not Found", "NoSuchBucket"),
              HasSubstr("there is no bucket 'models' at 127.0.0.1"));
  EXPECT_THAT(SaidCode("400 Bad Request", "Odd"), HasSubstr("refuses the request (400 Odd)"));
  EXPECT_THAT(ListError(FakeHttpServer::Ok("hi")), HasSubstr("is no listing of a bucket"));
  EXPECT_THAT(ListError("what?\r\n\r\n"), HasSubstr("cannot read from 127.0.0.1"));
}

TEST_F(S3AnswersTest, ClockThatIsWrongIsCompared) {
  EXPECT_THAT(SaidCode("403 Forbidden", "RequestTimeTooSkewed"),
              HasSubstr("the clock of this machine, or of the server, is wrong"));
  for (const auto& [year, words] : {std::pair("2001", "s ahead of the server's: set it"),
                                    {"2099", "s behind the server's: set it"}}) {
    EXPECT_THAT(SaidCode("403 Forbidden", "RequestTimeTooSkewed",
                         fmt::format("Date: Thu, 22 Nov {} 12:00:00 GMT\r\n", year)),
                HasSubstr(words));
  }
}

TEST_F(S3AnswersTest, WrongPathIsNamed) {
  EXPECT_THAT(SaidCode("301 Moved", "PermanentRedirect", "x-amz-bucket-region: eu-west-9\r\n"),
              HasSubstr("it is in region eu-west-9, so set AWS_REGION"));
  EXPECT_THAT(Said("400 Bad Request",
                   "<Code>AuthorizationHeaderMalformed</Code><Region>eu-west-9</Region>"),
              HasSubstr("it is in region eu-west-9, so set AWS_REGION"));
  EXPECT_EQ(Code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(SaidCode("400 Bad Request", "AuthorizationHeaderMalformed"),
              HasSubstr("AWS_REGION, which is us-east-1, or AWS_ACCESS_KEY_ID is wrong"));
  EXPECT_EQ(Code(), StatusCode::kInvalidArgument);
}

TEST_F(S3AnswersTest, RedirectsAreNotFollowed) {
  EXPECT_THAT(ListError(FakeHttpServer::Response("302 Found", "",
                                                 "Location: https://evil.example/models\r\n")),
              HasSubstr("it sends requests on to 'https://evil.example/models', which are not "
                        "followed: set AWS_ENDPOINT_URL and AWS_REGION"));
  EXPECT_EQ(Code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(Said("307 Temporary Redirect",
                   "<Code>TemporaryRedirect</Code><Endpoint>models.example</Endpoint>"),
              HasSubstr("it sends requests on to 'models.example'"));
  EXPECT_EQ(server_->heads().size(), 1U);
}

TEST_F(S3AnswersTest, ArchivedObjectsAreNoMatterOfRights) {
  Serve([](const std::string&) {
    return FakeHttpServer::Response("403 Forbidden",
                                    "<Error><Code>InvalidObjectState</Code></Error>");
  });
  EXPECT_THAT(client_->Download(Hello(), File()).ToString(),
              HasSubstr("m/1/a b lies in an archive: restore it first"));
  EXPECT_EQ(server_->heads().size(), 1U);
}

TEST_F(S3AnswersTest, RightToReadObjectsIsNamed) {
  Serve([](const std::string&) { return FakeHttpServer::Response("403 Forbidden", ""); });
  EXPECT_THAT(client_->Download(Hello(), File()).ToString(),
              HasSubstr("access is denied to AWS_ACCESS_KEY_ID: it needs the right s3:GetObject"));
}

TEST_F(S3AnswersTest, LongTextOfAServerIsCut) {
  const std::string text(50'000, 'x');
  const std::string message =
      Said("400 Bad Request", fmt::format("<Code>{0}</Code><Message>{0}</Message>", text));
  EXPECT_THAT(message, HasSubstr("refuses the request (400 xxx"));
  EXPECT_LT(message.size(), 1000U);
  EXPECT_LT(Said("307 Moved", fmt::format("<Endpoint>{}</Endpoint>", text)).size(), 1000U);
  EXPECT_LT(Said("400 Bad", fmt::format("<Region>{}</Region>", text)).size(), 1000U);
}

TEST_F(S3AnswersTest, BusyServerIsAskedAgainWhenItWantsToBe) {
  std::atomic<int> requests = 0;
  Serve([&](const std::string&) {
    if (++requests > 1) return FakeHttpServer::Ok("<ListBucketResult/>");
    return FakeHttpServer::Response("503 Slow Down", "<Error><Code>SlowDown</Code></Error>",
                                    "Retry-After: 1\r\n");
  });
  const SteadyTime start = Clock::Real().Now();
  EXPECT_EQ(client_->List("", true).status(), OkStatus());
  EXPECT_GE(Clock::Real().Now() - start, std::chrono::seconds(1));
  EXPECT_EQ(requests, 2);
}

TEST_F(S3AnswersTest, AnswerWithoutEndIsCutOff) {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string chunk = fmt::format("100000\r\n{}\r\n", std::string(1 << 20, 'x'));
  std::string much = head;
  for (int i = 0; i < 9; ++i) much += chunk;
  EXPECT_EQ(ListError(much + "0\r\n\r\n"), "the answer has more than 8388608 bytes");
  const std::string line(1 << 20, 'x');
  // An extension, and a trailer.
  for (const std::string& endless : {"5;" + line, "0\r\na: " + line}) {
    EXPECT_THAT(ListError(head + endless), HasSubstr("a line of the answer is too long"));
    EXPECT_EQ(Code(), StatusCode::kInternal);
  }
  EXPECT_THAT(ListError("HTTP/1.1 200 OK\r\na: " + line), HasSubstr("cannot read from 127.0.0.1"));
}

TEST_F(S3AnswersTest, AnswerThatTricklesIsGivenUp) {
  stall_timeout_ = std::chrono::milliseconds(50);
  Serve([](const std::string&) {
    return "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" +
           std::string(FakeHttpServer::kDrip);
  });
  const Status status = client_->Download({"m/1/a", 1'000'000, "", {}}, File());
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("has sent next to nothing for 0 s"));
}

TEST_F(S3AnswersTest, ServerIsFoundByName) {
  Serve([](const std::string&) { return FakeHttpServer::Ok("<ListBucketResult/>"); });
  S3Settings settings;
  settings.endpoint = {.host = "localhost", .port = std::to_string(server_->port()), .tls = false};
  S3Client client(settings, "models", {}, is_cancelled_);
  EXPECT_EQ(client.List("", true).status(), OkStatus());
  // Nobody waits for the answer of a name server.
  is_cancelled_ = true;
  settings.endpoint.host = "no-such-host.invalid";
  S3Client cancelled(settings, "models", {}, is_cancelled_);
  EXPECT_EQ(cancelled.List("", true).status().code(), StatusCode::kCancelled);
}

TEST_F(S3AnswersTest, LengthsThatAreWrong) {
  const auto downloaded = [this](const std::string& answer) {
    fs::remove(File());
    Serve([answer](const std::string&) { return answer; });
    return client_->Download({"m/1/a", 5, "", {}}, File());
  };
  EXPECT_EQ(downloaded("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhello"),
            absl::DataLossError("m/1/a came with 3 bytes, but has 5"));
  EXPECT_EQ(downloaded("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhel").code(),
            StatusCode::kUnavailable);
  EXPECT_EQ(downloaded("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhello!!"),
            absl::AbortedError("m/1/a has more bytes than the listing says"));
  for (const char* length : {"-5", "5, 6", "99999999999999999999999", "x"}) {
    EXPECT_EQ(downloaded(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nhello", length))
                  .code(),
              StatusCode::kInternal)
        << length;
  }
}

TEST_F(S3AnswersTest, BytesBehindAnAnswerAreNotThoseOfTheNext) {
  std::atomic<int> requests = 0;
  Serve([&](const std::string&) {
    const bool is_first = ++requests == 1;
    return FakeHttpServer::Ok(is_first ? "<ListBucketResult><IsTruncated>true</IsTruncated>"
                                         "<NextContinuationToken>a</NextContinuationToken>"
                                         "</ListBucketResult>"
                                       : "<ListBucketResult/>") +
           (is_first ? FakeHttpServer::Ok("<ListBucketResult><Contents><Key>evil</Key>"
                                          "<Size>1</Size></Contents></ListBucketResult>")
                     : "") +
           std::string(FakeHttpServer::kHalfClose);
  });
  const auto listing = client_->List("", true);
  ASSERT_EQ(listing.status(), OkStatus());
  EXPECT_TRUE(listing->objects.empty());
  EXPECT_EQ(requests, 2);
}

TEST_F(S3AnswersTest, DownloadThatGetsNowhereIsGivenUp) {
  constexpr int kSize = 1 << 20;
  // Cut off here and there, and begun anew each time; and one byte more each time.
  for (const bool has_ranges : {false, true}) {
    std::atomic<int> requests = 0;
    Serve([&, has_ranges](const std::string& head) {
      const int bytes = ++requests % 2 == 0 ? 100'000 : 200'000;
      const size_t range = head.find("range: bytes=");
      if (!has_ranges || range == std::string::npos) {
        return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", kSize,
                           std::string(bytes, 'x'));
      }
      const int first = std::stoi(head.substr(range + 13));
      return fmt::format(
          "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{}\r\n"
          "Content-Length: {}\r\n\r\nx",
          first, kSize - 1, kSize, kSize - first);
    });
    fs::remove(File());
    EXPECT_EQ(client_->Download({"m/1/a", kSize, "", {}}, File()).code(), StatusCode::kUnavailable);
    EXPECT_EQ(requests, 4);
  }
}

TEST_F(S3AnswersTest, ListingsOfTooManyObjectsOrTooLongKeysAreGivenUp) {
  const auto page = [](int keys, int key_bytes, int number) {
    std::string xml = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>" +
                      std::to_string(number) + "</NextContinuationToken>";
    for (int i = 0; i < keys; ++i) {
      xml += "<Contents><Key>" + std::string(key_bytes, 'k') + "</Key><Size>1</Size></Contents>";
    }
    return FakeHttpServer::Ok(xml + "</ListBucketResult>");
  };
  for (const auto& [keys, key_bytes] : {std::pair(50'000, 1), {7, 1'000'000}}) {
    std::atomic<int> pages = 0;
    Serve([&, count = keys, bytes = key_bytes](const std::string&) {
      return page(count, bytes, ++pages);
    });
    EXPECT_EQ(client_->List("m/1/", false).status(),
              absl::ResourceExhaustedError("bucket 'models' has more than 200000 objects, or 64 "
                                           "MiB of keys, below 'm/1/'"));
    EXPECT_LE(pages, 10);
  }
}

}  // namespace
}  // namespace penstock
