// SPDX-License-Identifier: Apache-2.0
// The values are those that AWS publishes: "Signature Calculations for the Authorization Header" of
// the S3 reference, and the test suite of Signature Version 4.
#include "s3/aws_signature.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr auto kMay24 = std::chrono::system_clock::time_point(std::chrono::seconds(1369353600));

const AwsCredentials kCredentials = {"AKIAIOSFODNN7EXAMPLE",
                                     "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};

std::string SignatureOf(const SignedRequest& request) {
  const std::string& value = request.headers.at("authorization");
  return value.substr(value.rfind('=') + 1);
}

TEST(AwsSignatureTest, GetObject) {
  SignedRequest request;
  request.path = "/test.txt";
  request.headers = {{"host", "examplebucket.s3.amazonaws.com"}, {"range", "bytes=0-9"}};
  SignRequest(kCredentials, "us-east-1", kMay24, request);
  EXPECT_EQ(request.headers.at("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(request.headers.at("x-amz-date"), "20130524T000000Z");
}

TEST(AwsSignatureTest, GetBucketLifecycle) {
  SignedRequest request;
  request.path = "/";
  request.query = {{"lifecycle", ""}};
  request.headers = {{"host", "examplebucket.s3.amazonaws.com"}};
  SignRequest(kCredentials, "us-east-1", kMay24, request);
  EXPECT_EQ(SignatureOf(request),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(AwsSignatureTest, ListObjects) {
  SignedRequest request;
  request.path = "/";
  request.query = {{"max-keys", "2"}, {"prefix", "J"}};
  request.headers = {{"host", "examplebucket.s3.amazonaws.com"}};
  SignRequest(kCredentials, "us-east-1", kMay24, request);
  EXPECT_EQ(SignatureOf(request),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(AwsSignatureTest, PutObject) {
  SignedRequest request;
  request.path = UriEscape("/test$file.text", /*keeps_slashes=*/true);
  const std::string hash = Sha256Hex("Welcome to Amazon S3.");
  request.headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                     {"host", "examplebucket.s3.amazonaws.com"},
                     {"x-amz-content-sha256", hash},
                     {"x-amz-date", "20130524T000000Z"},
                     {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
  const std::string authorization =
      Authorization(kCredentials, "us-east-1", "s3", "20130524T000000Z",
                    CanonicalRequest("PUT", request, hash), SignedHeaderNames(request));
  EXPECT_TRUE(
      authorization.ends_with("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"))
      << authorization;
}

// "get-vanilla" of the test suite.
TEST(AwsSignatureTest, GetVanilla) {
  SignedRequest request;
  request.path = "/";
  request.headers = {{"host", "example.amazonaws.com"}, {"x-amz-date", "20150830T123600Z"}};
  const AwsCredentials credentials = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                      ""};
  const std::string canonical = CanonicalRequest("GET", request, Sha256Hex(""));
  EXPECT_EQ(Sha256Hex(canonical),
            "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63");
  EXPECT_EQ(Authorization(credentials, "us-east-1", "service", "20150830T123600Z", canonical,
                          SignedHeaderNames(request)),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, "
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

TEST(AwsSignatureTest, EscapesAndTrims) {
  EXPECT_EQ(UriEscape("a/b c+~ä", /*keeps_slashes=*/true), "a/b%20c%2B~%C3%A4");
  EXPECT_EQ(UriEscape("a/b", /*keeps_slashes=*/false), "a%2Fb");
  EXPECT_EQ(QueryText({{"b", ""}, {"a", "x=y"}}), "a=x%3Dy&b=");
  SignedRequest request;
  request.path = "/";
  request.headers = {{"my-header", "  a   b  c "}};
  EXPECT_EQ(CanonicalRequest("GET", request, "hash"),
            "GET\n/\n\nmy-header:a b c\n\nmy-header\nhash");
}

TEST(AwsSignatureTest, SessionTokenIsSignedAndWithoutCredentialsNothingIs) {
  SignedRequest request;
  request.headers = {{"host", "h"}};
  SignRequest({"id", "secret", "token"}, "r", kMay24, request);
  EXPECT_EQ(request.headers.at("x-amz-security-token"), "token");
  EXPECT_NE(request.headers.at("authorization").find("x-amz-security-token"), std::string::npos);
  SignedRequest open;
  open.headers = {{"host", "h"}};
  SignRequest({}, "r", kMay24, open);
  EXPECT_EQ(open.headers.size(), 1U);
}

}  // namespace
}  // namespace penstock
