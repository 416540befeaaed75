// SPDX-License-Identifier: Apache-2.0
#include "s3/aws_credentials.h"

#include <gtest/gtest.h>

#include <map>

#include "base/os/test_folder.h"
#include "s3/http_server_fake.h"

namespace penstock {
namespace {

// A home folder with AWS's files, and variables. One thread.
class AwsCredentialsTest : public ::testing::Test {
 protected:
  AwsCredentialsTest() {
    home_.Make(".aws");
    variables_["HOME"] = home_.path();
  }

  static constexpr const char* kCredentials = ".aws/credentials";
  static constexpr const char* kConfig = ".aws/config";
  std::string CredentialsFile() const { return home_ / kCredentials; }
  AwsKeySources Places() const {
    return FindAwsKeySources([this](const char* name) {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::string() : found->second;
    });
  }
  // "id secret token" or the error.
  std::string Keys() const { return KeysOf(*std::make_unique<AwsCredentialsProvider>(Places())); }
  static std::string KeysOf(AwsCredentialsProvider& provider) {
    const auto keys = provider.Get(kNever);
    if (!keys.ok()) return std::string(MessageOf(keys.status()));
    const AwsCredentials& c = keys->credentials;
    return c.access_key_id + " " + c.secret_access_key + " " + c.session_token;
  }
  std::string Region() const {
    const auto region = ProfileRegion(Places());
    return region.ok() ? *region : std::string(MessageOf(region.status()));
  }

  const TestFolder home_;
  std::map<std::string, std::string> variables_;
};

TEST_F(AwsCredentialsTest, EnvironmentThenCredentialsThenConfig) {
  EXPECT_EQ(Keys(), "  ");
  home_.Write(kConfig, "[default]\naws_access_key_id=id3\naws_secret_access_key=s3\nregion=r3\n");
  EXPECT_EQ(Keys(), "id3 s3 ");
  EXPECT_EQ(Region(), "r3");
  home_.Write(kCredentials,
              "[default]\naws_access_key_id=id2\naws_secret_access_key=s2\naws_session_token=t2\n");
  EXPECT_EQ(Keys(), "id2 s2 t2");
  EXPECT_EQ(Region(), "r3");
  home_.Write(kCredentials, "[default]\naws_access_key_id=\nregion=r2\n");
  EXPECT_EQ(Keys(), "id3 s3 ");
  EXPECT_EQ(Region(), "r2");
  home_.Write(kCredentials, "odd, and not read");
  variables_["AWS_ACCESS_KEY_ID"] = "id1";
  variables_["AWS_SECRET_ACCESS_KEY"] = "s1";
  EXPECT_EQ(Keys(), "id1 s1 ");
}

TEST_F(AwsCredentialsTest, FilesAndProfileOfVariables) {
  home_.Write("c", "[x]\naws_access_key_id=idx\naws_secret_access_key=sx\n");
  home_.Write("d", "[profile x]\nregion=rx\n");
  variables_["AWS_SHARED_CREDENTIALS_FILE"] = "~/c";
  variables_["AWS_CONFIG_FILE"] = home_ / "d";
  EXPECT_EQ(Keys(), "  ");
  EXPECT_EQ(Region(), "");
  variables_["AWS_PROFILE"] = "x";
  EXPECT_EQ(Keys(), "idx sx ");
  EXPECT_EQ(Region(), "rx");
  variables_["AWS_PROFILE"] = "y";
  const std::string none = fmt::format(
      "AWS_PROFILE is 'y', but there is no such profile in '{0}/c' or '{0}/d'", home_.path());
  EXPECT_EQ(Keys(), none);
  EXPECT_EQ(Region(), none);
}

TEST_F(AwsCredentialsTest, WhereTheyCouldBeIsSaid) {
  EXPECT_EQ(
      AwsCredentialsProvider(Places()).Get(kNever)->access_key_id_name,
      fmt::format("AWS_ACCESS_KEY_ID, or aws_access_key_id of profile 'default' in {} or {}, or "
                  "AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI",
                  CredentialsFile(), home_ / kConfig));
  variables_.clear();
  EXPECT_EQ(AwsCredentialsProvider(Places()).Get(kNever)->access_key_id_name,
            "AWS_ACCESS_KEY_ID, or AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI");
}

TEST_F(AwsCredentialsTest, HalvesAndOddBytesAreNamedAndNotQuoted) {
  const std::string file = CredentialsFile();
  home_.Write(kCredentials, "[default]\n\naws_access_key_id = hidden\n");
  EXPECT_EQ(Keys(),
            "aws_access_key_id (" + file + ":3) stands there without aws_secret_access_key");
  home_.Write(kCredentials, "[default]\naws_access_key_id =\naws_secret_access_key = hidden\n");
  EXPECT_EQ(Keys(),
            "aws_secret_access_key (" + file + ":3) stands there without aws_access_key_id");
  for (const char* odd :
       {"hid den", "hidden\x01", "hidden\n  more", "\n  hidden", "hidden\xC3\xA4"}) {
    home_.Write(kCredentials,
                fmt::format("[default]\naws_access_key_id=a\naws_secret_access_key={}\n", odd));
    EXPECT_EQ(Keys(), file + ":3: aws_secret_access_key has spaces, line ends or other odd bytes");
  }
  home_.Write(kCredentials, "[default]\nregion=\x01\n");
  EXPECT_EQ(Region(), file + ":2: region has spaces, line ends or other odd bytes");
  variables_["AWS_SECRET_ACCESS_KEY"] = "hidden\n";
  EXPECT_EQ(
      Keys(),
      "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set; both or none are needed");
  variables_["AWS_ACCESS_KEY_ID"] = "a";
  EXPECT_EQ(Keys(), "AWS_SECRET_ACCESS_KEY has spaces, line ends or other odd bytes");
}

TEST_F(AwsCredentialsTest, KeysThatAreRefusedAreReadAgain) {
  home_.Write(kCredentials, "[default]\naws_access_key_id=id1\naws_secret_access_key=s\n");
  AwsCredentialsProvider provider(Places());
  const AwsCredentials first = provider.Get(kNever)->credentials;
  EXPECT_EQ(provider.Renew(first, kNever).value(), false);
  home_.Write(kCredentials, "[default]\naws_access_key_id=id2\naws_secret_access_key=s\n");
  EXPECT_EQ(KeysOf(provider), "id1 s ");  // not refused yet
  EXPECT_EQ(provider.Renew(first, kNever).value(), true);
  EXPECT_EQ(KeysOf(provider), "id2 s ");
  home_.Write(kCredentials, "cut off");
  EXPECT_EQ(provider.Renew(first, kNever).value(), true);  // others have been read already
  EXPECT_EQ(
      provider.Renew(provider.Get(kNever)->credentials, kNever).status(),
      absl::InvalidArgumentError(CredentialsFile() + ":1: should be '[profile]' or a comment"));
  EXPECT_EQ(KeysOf(provider), "id2 s ");
}

}  // namespace
}  // namespace penstock
