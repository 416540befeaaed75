// SPDX-License-Identifier: Apache-2.0
#include "s3/s3_settings.h"

#include <gtest/gtest.h>

#include <map>

#include "s3/http_server_fake.h"

namespace penstock {
namespace {

StatusOr<S3Settings> SettingsOf(const std::map<std::string, std::string>& variables) {
  return S3SettingsOf([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? "" : found->second;
  });
}

TEST(S3SettingsTest, AmazonIsTheDefault) {
  const auto settings = SettingsOf({{"AWS_REGION", "eu-west-3"},
                                    {"AWS_ACCESS_KEY_ID", "id"},
                                    {"AWS_SECRET_ACCESS_KEY", "secret"},
                                    {"AWS_SESSION_TOKEN", "token"}});
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->endpoint.host, "s3.eu-west-3.amazonaws.com");
  EXPECT_EQ(settings->endpoint.Authority(), "s3.eu-west-3.amazonaws.com");
  EXPECT_FALSE(settings->has_bucket_in_path);
  EXPECT_TRUE(settings->endpoint.verifies_certificate);
  EXPECT_EQ(settings->credentials->Get(kNever)->credentials.session_token, "token");
}

TEST(S3SettingsTest, Endpoints) {
  const auto authority = [](const std::map<std::string, std::string>& variables) {
    const auto settings = SettingsOf(variables);
    return settings.ok()
               ? (settings->endpoint.tls ? "https://" : "http://") + settings->endpoint.Authority()
               : std::string(MessageOf(settings.status()));
  };
  EXPECT_EQ(authority({{"AWS_ENDPOINT_URL", "http://minio:9000/"}}), "http://minio:9000");
  EXPECT_EQ(authority({{"AWS_ENDPOINT_URL", "http://a"}, {"AWS_ENDPOINT_URL_S3", "https://b"}}),
            "https://b");
  EXPECT_EQ(authority({{"S3_ENDPOINT", "minio:9000"}}), "https://minio:9000");
  EXPECT_EQ(authority({{"S3_ENDPOINT", "minio:9000"}, {"S3_USE_HTTPS", "0"}}), "http://minio:9000");
  EXPECT_EQ(authority({{"AWS_ENDPOINT_URL", "http://[::1]:90"}}), "http://[::1]:90");
  EXPECT_EQ(authority({{"AWS_ENDPOINT_URL", "http://[::1]"}}), "http://[::1]");
  for (const char* bad : {"http://", "http://a:b", "http://a:0", "http://a:70000", "http://a/b",
                          "http://a b", "http://[::1", "http://a:"}) {
    EXPECT_EQ(authority({{"AWS_ENDPOINT_URL", bad}}),
              fmt::format("AWS_ENDPOINT_URL is '{}', but should be http[s]://host[:port]", bad));
  }
}

TEST(S3SettingsTest, CertificatesAndHalfCredentials) {
  EXPECT_FALSE(SettingsOf({{"S3_VERIFY_SSL", "0"}})->endpoint.verifies_certificate);
  EXPECT_EQ(SettingsOf({{"AWS_ACCESS_KEY_ID", "id"}}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(SettingsOf({})->credentials->Get(kNever)->credentials.access_key_id, "");
}

TEST(S3SettingsTest, Regions) {
  EXPECT_EQ(SettingsOf({{"AWS_REGION", "cn-north-1"}})->endpoint.host,
            "s3.cn-north-1.amazonaws.com.cn");
  EXPECT_EQ(SettingsOf({{"S3_REGION", "a"}, {"AWS_DEFAULT_REGION", "b"}})->region, "b");
  for (const char* odd : {"eu-west-1\n", "evil.example/", "eu west"}) {
    EXPECT_EQ(
        SettingsOf({{"AWS_DEFAULT_REGION", odd}}).status(),
        InvalidArgument("AWS_DEFAULT_REGION is '{}', but should be a word like eu-west-1", odd));
  }
}

TEST(S3SettingsTest, FilesOfAuthoritiesThatMakeNoSense) {
  for (const char* file : {"/dev/null", "/", "/no/such/file"}) {
    EXPECT_EQ(SettingsOf({{"AWS_CA_BUNDLE", file}}).status(),
              InvalidArgument("AWS_CA_BUNDLE is '{}', but should be a PEM file with certificates "
                              "that can be read",
                              file));
  }
}

TEST(S3SettingsTest, FilesThatMakeNoSense) {
  // A folder is no file; what the environment says is not looked up there.
  EXPECT_EQ(SettingsOf({{"AWS_CONFIG_FILE", "/"}}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(SettingsOf({{"AWS_CONFIG_FILE", "/"},
                        {"AWS_ACCESS_KEY_ID", "id"},
                        {"AWS_SECRET_ACCESS_KEY", "secret"}})
                .status()
                .code(),
            StatusCode::kInvalidArgument);
  EXPECT_TRUE(SettingsOf({{"AWS_CONFIG_FILE", "/"},
                          {"AWS_ACCESS_KEY_ID", "id"},
                          {"AWS_SECRET_ACCESS_KEY", "secret"},
                          {"AWS_REGION", "r"}})
                  .ok());
}

TEST(S3SettingsTest, Paths) {
  EXPECT_TRUE(IsS3Path("s3://b"));
  EXPECT_FALSE(IsS3Path("/models/s3://b"));
  const auto parsed = [](std::string_view path) {
    const auto location = ParseS3Path(path);
    return location.ok() ? location->bucket + "|" + location->prefix : "error";
  };
  EXPECT_EQ(parsed("s3://models/a/b//"), "models|a/b/");
  EXPECT_EQ(parsed("s3://models"), "models|");
  EXPECT_EQ(parsed("s3://models/"), "models|");
  for (const char* bad : {"s3://", "s3:///a", "s3://a b/c", "s3://ab", "/x", "s3", "s3://a%41b"}) {
    EXPECT_EQ(parsed(bad), "error") << bad;
  }
}

}  // namespace
}  // namespace penstock
