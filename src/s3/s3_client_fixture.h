// SPDX-License-Identifier: Apache-2.0
// For tests: a client, and a server with answers that the test sets.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "base/os/test_folder.h"
#include "s3/http_server_fake.h"
#include "s3/s3_client.h"

namespace penstock {

inline constexpr const char* kMd5OfHello = "\"5d41402abc4b2a76b9719d911017c592\"";  // of "hello"

// Tests a client against a store in the test.
//
//   Serve([](const std::string& head) { return FakeHttpServer::Response("503 Slow Down", ""); });
//   EXPECT_EQ(client_->List("m/", true).status().code(), StatusCode::kUnavailable);
//
// One thread, in addition to the server's.
class S3ClientTest : public ::testing::Test {
 protected:
  // Starts a new server with these answers, and a new client of it. Pauses between tries are 0, so
  // that a test of retries takes no time.
  void Serve(FakeHttpServer::Answer answer) {
    client_.reset();
    server_ = std::make_unique<FakeHttpServer>(std::move(answer));
    S3Settings settings;
    settings.endpoint.host = "127.0.0.1";
    settings.endpoint.port = std::to_string(server_->port());
    settings.endpoint.tls = false;
    settings.credentials = credentials_;
    S3ClientOptions options;
    options.retry_pause = Duration::zero();
    options.http.stall_timeout = stall_timeout_;
    client_ = std::make_unique<S3Client>(settings, "models", options, is_cancelled_);
  }
  // The file that a test downloads to, its contents, and the object that it downloads.
  std::string File() const { return root_ / "file"; }
  std::string Contents() const { return root_.Read("file"); }
  static S3Object Hello() { return {"m/1/a b", 5, kMd5OfHello, {}}; }
  // Returns the error message of a listing that gets this answer.
  std::string ListError(const std::string& answer) {
    Serve([answer](const std::string&) { return answer; });
    return std::string(MessageOf(client_->List("m/", true).status()));
  }

  const TestFolder root_;
  Duration stall_timeout_ = std::chrono::seconds(30);
  std::shared_ptr<AwsCredentialsProvider> credentials_ =
      std::make_shared<AwsCredentialsProvider>(AwsKeySources{.environment = {"id", "secret", ""}});
  std::atomic<bool> is_cancelled_ = false;
  std::unique_ptr<FakeHttpServer> server_;
  std::unique_ptr<S3Client> client_;
};

}  // namespace penstock
