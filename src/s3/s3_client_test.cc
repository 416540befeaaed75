// SPDX-License-Identifier: Apache-2.0
#include "s3/s3_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "s3/file_check.h"
#include "s3/s3_client_fixture.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST_F(S3ClientTest, ListsAllPagesOverOneConnection) {
  Serve([](const std::string& head) {
    const bool is_second = head.find("continuation-token=next%2F1") != std::string::npos;
    return FakeHttpServer::Ok(
               is_second ? "<ListBucketResult><Contents><Key>b</Key><Size>2</Size></Contents>"
                           "</ListBucketResult>"
                         : "<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents>"
                           "<IsTruncated>true</IsTruncated>"
                           "<NextContinuationToken>next/1</NextContinuationToken>"
                           "</ListBucketResult>",
               "Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n") +
           std::string(FakeHttpServer::kKeepOpen);
  });
  const auto listing = client_->List("m/", /*stops_at_folders=*/true);
  ASSERT_TRUE(listing.ok()) << listing.status();
  ASSERT_EQ(listing->objects.size(), 2U);
  EXPECT_EQ(listing->objects[1].key, "b");
  EXPECT_TRUE(listing->now);
  const auto heads = server_->heads();
  ASSERT_EQ(heads.size(), 2U);
  EXPECT_TRUE(heads[0].starts_with(
      "GET /models?delimiter=%2F&encoding-type=url&list-type=2&prefix=m%2F HTTP/1.1\r\n"));
  EXPECT_NE(heads[0].find("authorization: AWS4-HMAC-SHA256 Credential=id/"), std::string::npos);
}

TEST_F(S3ClientTest, ListingThatDoesNotEndIsGivenUp) {
  EXPECT_EQ(ListError(FakeHttpServer::Ok(
                "<ListBucketResult><IsTruncated>true</IsTruncated>"
                "<NextContinuationToken>same</NextContinuationToken></ListBucketResult>")),
            "the listing of bucket 'models' does not end");
}

TEST_F(S3ClientTest, ConnectionWhoseEndIsThatOfTheBodyIsNotUsedAgain) {
  Serve([](const std::string& head) {
    const bool is_second = head.find("continuation-token=") != std::string::npos;
    return std::string("HTTP/1.1 200 OK\r\n\r\n") +
           (is_second ? "<ListBucketResult/>"
                      : "<ListBucketResult><IsTruncated>true</IsTruncated>"
                        "<NextContinuationToken>a</NextContinuationToken></ListBucketResult>") +
           std::string(FakeHttpServer::kHalfClose);
  });
  EXPECT_EQ(client_->List("m/", true).status(), OkStatus());
}

TEST_F(S3ClientTest, EmptyPagesWithoutEndAreGivenUp) {
  int pages = 0;
  Serve([&](const std::string&) {
    return FakeHttpServer::Ok(fmt::format("<ListBucketResult><IsTruncated>true</IsTruncated>"
                                          "<NextContinuationToken>{}</NextContinuationToken>"
                                          "</ListBucketResult>",
                                          ++pages)) +
           std::string(FakeHttpServer::kKeepOpen);
  });
  EXPECT_EQ(client_->List("m/", true).status(),
            absl::InternalError("the listing of bucket 'models' does not end"));
  client_.reset();  // closes the connection, for which the server waits
}

TEST_F(S3ClientTest, ErrorsThatMayPassAreRetried) {
  std::atomic<int> requests = 0;
  Serve([&](const std::string&) {
    if (++requests == 1) return FakeHttpServer::Response("503 Slow Down", "");
    if (requests == 2) return std::string();  // closes the connection
    return FakeHttpServer::Ok("<ListBucketResult/>");
  });
  EXPECT_TRUE(client_->List("", true).ok());
  EXPECT_EQ(requests, 3);
  requests = 0;
  Serve([&](const std::string&) {
    ++requests;
    return FakeHttpServer::Response("500 Oh", "");
  });
  EXPECT_EQ(client_->List("", true).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(requests, 4);
}

TEST_F(S3ClientTest, NoServerThere) {
  Serve([](const std::string&) { return ""; });
  server_.reset();
  const Status status = client_->List("", true).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(MessageOf(status).find("cannot connect to 127.0.0.1"), std::string_view::npos);
  EXPECT_NE(MessageOf(status).find("refused"), std::string_view::npos);
}

TEST_F(S3ClientTest, DownloadsAndChecks) {
  Serve([](const std::string&) { return FakeHttpServer::Ok("hello"); });
  EXPECT_EQ(client_->Download(Hello(), File()), OkStatus());
  EXPECT_EQ(Contents(), "hello");
  ASSERT_EQ(server_->heads().size(), 1U);
  EXPECT_TRUE(server_->heads()[0].starts_with("GET /models/m/1/a%20b HTTP/1.1\r\n"));
  EXPECT_NE(server_->heads()[0].find(std::string("if-match: ") + kMd5OfHello), std::string::npos);
  // What is there already, and right, is not asked for again.
  EXPECT_EQ(client_->Download(Hello(), File()), OkStatus());
  EXPECT_EQ(server_->heads().size(), 1U);
}

TEST_F(S3ClientTest, BrokenDownloadGoesOnWhereItEnded) {
  Serve([](const std::string& head) {
    if (head.find("range: bytes=2-") != std::string::npos) {
      return FakeHttpServer::Response("206 Partial Content", "llo",
                                      "Content-Range: bytes 2-4/5\r\n");
    }
    return std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
  });
  EXPECT_EQ(client_->Download(Hello(), File()), OkStatus());
  EXPECT_EQ(Contents(), "hello");
  EXPECT_EQ(server_->heads().size(), 2U);
}

TEST_F(S3ClientTest, ServerThatKnowsNoRangesStartsAgain) {
  root_.Write("file", "xx");
  Serve([](const std::string&) { return FakeHttpServer::Ok("hello"); });
  EXPECT_EQ(client_->Download(Hello(), File()), OkStatus());
  EXPECT_EQ(Contents(), "hello");
}

TEST_F(S3ClientTest, PartThatDoesNotFitIsFoundOutAndFetchedAgain) {
  root_.Write("file", "xx");
  Serve([](const std::string& head) {
    if (head.find("range:") == std::string::npos) return FakeHttpServer::Ok("hello");
    return FakeHttpServer::Response("206 Partial Content", "llo", "Content-Range: bytes 2-4/5\r\n");
  });
  EXPECT_EQ(client_->Download(Hello(), File()), OkStatus());
  EXPECT_EQ(Contents(), "hello");
}

TEST_F(S3ClientTest, PartThatWasNotAskedForIsNotPutIntoTheFile) {
  const S3Object object{"m/1/a b", 5, "\"of parts: no hash-2\"", {}};
  for (const char* range : {"Content-Range: bytes 1-3/5\r\n", "Content-Range: bytes 2-4/6\r\n",
                            "Content-Range: bytes 2-3/5\r\n", "Content-Range: rows\r\n", ""}) {
    root_.Write("file", "he");
    Serve([range](const std::string& head) {
      if (head.find("range:") == std::string::npos) return FakeHttpServer::Ok("hello");
      return FakeHttpServer::Response("206 Partial Content", "ell", range);
    });
    EXPECT_EQ(client_->Download(object, File()), OkStatus()) << range;
    EXPECT_EQ(Contents(), "hello") << range;
    EXPECT_EQ(server_->heads().size(), 2U);
  }
}

TEST_F(S3ClientTest, PartForTheWholeIsRefused) {
  Serve([](const std::string&) {
    return FakeHttpServer::Response("206 Partial Content", "hello",
                                    "Content-Range: bytes 2-6/7\r\n");
  });
  EXPECT_EQ(client_->Download(Hello(), File()),
            absl::DataLossError("of m/1/a b came another part than was asked for"));
}

TEST_F(S3ClientTest, DamagedDownloadIsRefusedAndRemoved) {
  Serve([](const std::string&) { return FakeHttpServer::Ok("hallo"); });
  const Status status = client_->Download(Hello(), File());
  EXPECT_EQ(status, absl::DataLossError("m/1/a b came damaged: its MD5 is not that of the object"));
  EXPECT_FALSE(fs::exists(File()));
}

TEST_F(S3ClientTest, ObjectThatChangedOrWentMeanwhile) {
  Serve([](const std::string&) { return FakeHttpServer::Response("412 Failed", ""); });
  EXPECT_EQ(client_->Download(Hello(), File()).code(), StatusCode::kAborted);
  Serve([](const std::string&) { return FakeHttpServer::Ok("hello and more"); });
  EXPECT_EQ(client_->Download(Hello(), File()).code(), StatusCode::kAborted);
  Serve([](const std::string&) {
    return FakeHttpServer::Response("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>");
  });
  const Status gone = client_->Download(Hello(), File());
  EXPECT_EQ(gone.code(), StatusCode::kNotFound);
  EXPECT_NE(MessageOf(gone).find("is not there any more"), std::string_view::npos);
}

TEST_F(S3ClientTest, CancelEndsADownloadThatStalls) {
  Serve([this](const std::string&) {
    is_cancelled_ = true;
    return std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe") +
           std::string(FakeHttpServer::kKeepOpen);
  });
  EXPECT_EQ(client_->Download(Hello(), File()).code(), StatusCode::kCancelled);
  client_.reset();  // closes the connection, for which the server waits
}

TEST_F(S3ClientTest, DiskThatCannotBeWritten) {
  Serve([](const std::string&) { return FakeHttpServer::Ok("hello"); });
  const Status status = client_->Download(Hello(), "/dev/full");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(client_->Download(Hello(), root_ / "none/file").code(), StatusCode::kInternal);
}

// Keys in a file, and a server to which only those of "new" are good.
class S3ClientKeysTest : public S3ClientTest {
 protected:
  S3ClientKeysTest() {
    Write("old");
    credentials_ =
        std::make_shared<AwsCredentialsProvider>(AwsKeySources{.credentials_file = root_ / "keys"});
  }
  void Write(const char* id) {
    root_.Write("keys", fmt::format("[default]\naws_access_key_id={}\n"
                                    "aws_secret_access_key=hidden\naws_session_token=t\n",
                                    id));
  }
  // Refuses other keys so; they change when `may_change`.
  void ServeNewKeysOnly(const char* status, const char* code, bool may_change = true) {
    Serve([this, status, code, may_change](const std::string& head) {
      if (head.find("Credential=new/") != std::string::npos) {
        return FakeHttpServer::Ok(head.find("list-type") == std::string::npos
                                      ? "hello"
                                      : "<ListBucketResult></ListBucketResult>");
      }
      if (may_change) Write("new");
      return FakeHttpServer::Response(status, fmt::format("<Error><Code>{}</Code></Error>", code));
    });
  }
};

TEST_F(S3ClientKeysTest, RequestIsMadeAgainWithKeysThatHaveChanged) {
  for (const auto& [status, code] : {std::pair("403 Forbidden", "SignatureDoesNotMatch"),
                                     {"403 Forbidden", "InvalidAccessKeyId"},
                                     {"403 Forbidden", "AccessDenied"},
                                     {"400 Bad Request", "ExpiredToken"},
                                     {"400 Bad Request", "InvalidToken"},
                                     {"404 Not Found", "XAdminUserNotFound"}}) {
    for (const bool is_download : {false, true}) {
      Write("old");
      (void)credentials_->Renew(credentials_->Get(kNever)->credentials, kNever);
      ServeNewKeysOnly(status, code);
      EXPECT_EQ(
          is_download ? client_->Download(Hello(), File()) : client_->List("m/", true).status(),
          OkStatus())
          << code;
      EXPECT_EQ(server_->heads().size(), 2U) << code;
      fs::remove(File());
    }
  }
}

TEST_F(S3ClientKeysTest, KeysThatAreTheSameAreRefusedOnce) {
  const std::string place = root_ / "keys";
  for (const auto& [code, reason] :
       {std::pair("SignatureDoesNotMatch",
                  "the signature is wrong: check aws_secret_access_key (" + place + ":3)"),
        {"InvalidAccessKeyId", "aws_access_key_id (" + place + ":2) is not known there"},
        {"ExpiredToken", "aws_session_token (" + place + ":4) is not valid any more"}}) {
    ServeNewKeysOnly("403 Forbidden", code, /*may_change=*/false);
    const Status status = client_->List("m/", true).status();
    EXPECT_EQ(status.code(), StatusCode::kPermissionDenied);
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(reason));
    EXPECT_EQ(server_->heads().size(), 1U);
  }
}

TEST_F(S3ClientKeysTest, FileThatMakesNoSenseMeanwhileIsSaid) {
  Serve([this](const std::string&) {
    root_.Write("keys", "hidden");
    return FakeHttpServer::Response("403 Forbidden", "<Error><Code>ExpiredToken</Code></Error>");
  });
  const std::string said(MessageOf(client_->List("m/", true).status()));
  EXPECT_THAT(said, HasSubstr("and when the keys were read again: " + root_ / "keys" +
                              ":1: should be '[profile]' or a comment"));
  EXPECT_EQ(said.find("hidden"), std::string::npos);
}

// Checks the five bytes of a file against checksums in headers.
class FileCheckTest : public S3ClientTest {
 protected:
  Status Check(const std::string& etag, std::map<std::string, std::string> headers = {}) {
    root_.Write("file", "hello");
    return CheckFile(File(), {"key", 5, etag, {}}, {200, std::move(headers)});
  }
};

TEST_F(FileCheckTest, ChecksumsThatAreGivenMustBeRight) {
  EXPECT_TRUE(Check(kMd5OfHello).ok());
  EXPECT_TRUE(Check("").ok());
  EXPECT_TRUE(Check("\"5d41402abc4b2a76b9719d911017c592-3\"").ok());  // of parts: unknown
  EXPECT_EQ(Check("\"00000000000000000000000000000000\"").code(), StatusCode::kDataLoss);
  EXPECT_TRUE(
      Check("\"00000000000000000000000000000000\"", {{"x-amz-server-side-encryption", "aws:kms"}})
          .ok());
  const std::map<std::string, std::string> right = {
      {"x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="},
      {"x-amz-checksum-crc32", "NhCmhg=="},
      {"x-amz-checksum-crc32c", "mnG7TA=="}};
  for (const auto& [name, value] : right) {
    EXPECT_EQ(Check("", {{name, value}}), OkStatus()) << name;
    std::string wrong = value;
    wrong[0] = wrong[0] == 'A' ? 'B' : 'A';
    EXPECT_EQ(Check("", {{name, wrong}}).code(), StatusCode::kDataLoss) << name;
    EXPECT_TRUE(Check("", {{name, value + "-2"}}).ok()) << name;
  }
}

TEST_F(FileCheckTest, SizeAndMissingFile) {
  root_.Write("file", "hell");
  EXPECT_EQ(CheckFile(File(), Hello(), {}),
            absl::DataLossError("m/1/a b came with 4 bytes, but has 5"));
  EXPECT_EQ(CheckFile(root_ / "none", Hello(), {}).code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace penstock
