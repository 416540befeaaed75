// SPDX-License-Identifier: Apache-2.0
#include "s3/aws_profile.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/os/test_folder.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

// "name=text@endpoint;..." of a profile, or the error.
std::string Said(const StatusOr<std::optional<AwsProfile>>& profile) {
  if (!profile.ok()) return std::string(MessageOf(profile.status()));
  if (!*profile) return "none";
  std::string text;
  for (const auto& [name, value] : **profile) {
    text += fmt::format("{}={}@{};", name, value.text, value.endpoint);
  }
  return text;
}

std::string Credentials(std::string_view text, std::string_view profile = "default") {
  return Said(ParseAwsProfile(text, "f", AwsFileKind::kCredentials, profile));
}

std::string Config(std::string_view text, std::string_view profile = "default") {
  return Said(ParseAwsProfile(text, "f", AwsFileKind::kConfig, profile));
}

TEST(AwsProfileTest, CommentsBlanksAndLineEnds) {
  EXPECT_EQ(Credentials("\xEF\xBB\xBF# comment\r\n"
                        "\r\n"
                        " [ default ] ; comment\r\n"
                        "; comment\r\n"
                        "Name=a=b/+#c;\r\n"
                        "other \t= \tx y\t# comment\r\n"
                        "empty = ; comment"),
            "empty=@f:7;name=a=b/+#c;@f:5;other=x y@f:6;");
  EXPECT_EQ(Credentials(""), "none");
  EXPECT_EQ(Credentials("[default]"), "");
}

TEST(AwsProfileTest, OnlyTheProfileThatIsAskedFor) {
  const char* const text = "[a]\nx=1\n[b]\nx=2\n[a]\ny=3\nx=4\n[profile c]\nx=5\n";
  EXPECT_EQ(Credentials(text, "a"), "x=4@f:7;y=3@f:6;");
  EXPECT_EQ(Credentials(text, "b"), "x=2@f:4;");
  EXPECT_EQ(Credentials(text, "c"), "none");
  EXPECT_EQ(Credentials(text, "profile c"), "x=5@f:9;");
}

TEST(AwsProfileTest, ProfilesOfAConfigFileHaveAPrefix) {
  const char* const text =
      "[default]\nx=1\n[profile a]\nx=2\n[b]\nx=3\n[profile\t b ]\nx=4\n[sso-session a]\nx=5\n"
      "[profilea]\nx=6\n";
  EXPECT_EQ(Config(text), "x=1@f:2;");
  EXPECT_EQ(Config(text, "a"), "x=2@f:4;");
  EXPECT_EQ(Config(text, "b"), "x=4@f:8;");
  EXPECT_EQ(Config(text, "profilea"), "none");
  EXPECT_EQ(Config("[profile default]\nx=1\n[default]\nx=2\ny=3\n"), "x=1@f:2;");
}

TEST(AwsProfileTest, LinesThatStandFurtherInBelongToTheValueAbove) {
  EXPECT_EQ(Config("[default]\n"
                   "  s3 =\n"
                   "    region = nested\n"
                   "    not a setting\n"
                   "  region = r\n"
                   "[profile x]\n"
                   "s3 =\n"
                   "  [y]\n"),
            "region=r@f:5;s3=\nregion = nested\nnot a setting@f:2;");
}

TEST(AwsProfileTest, LinesThatMakeNoSenseAreNamedAndNotQuoted) {
  EXPECT_EQ(Credentials("\nsecret=secret\n"), "f:2: should be '[profile]' or a comment");
  EXPECT_EQ(Credentials("[default]\nsecret\n"),
            "f:2: should be '[profile]', 'name = value' or a comment");
  EXPECT_EQ(Credentials("[other]\n= secret\n"),
            "f:2: should be '[profile]', 'name = value' or a comment");
  for (const char* odd : {"[default", "[default] secret", "[", "[]x"}) {
    EXPECT_EQ(Credentials(odd), "f:1: should be '[profile]'") << odd;
  }
  EXPECT_EQ(Credentials("[]\nx=1"), "none");
}

TEST(AwsProfileTest, Files) {
  const TestFolder root;
  const auto said = [&](const std::string& file) {
    return Said(ReadAwsProfile(file, AwsFileKind::kCredentials, "default"));
  };
  const std::string file = root.Write("file", "[default]\nx=1\n");
  EXPECT_EQ(said(file), "x=1@" + file + ":2;");
  EXPECT_EQ(said(""), "none");
  EXPECT_EQ(said(root / "none"), "none");
  EXPECT_EQ(said(file + "/none"), "none");
  EXPECT_EQ(said(root.path()), "cannot read " + root.path() + ": is it a file?");
  fs::create_symlink("loop", root / "loop");
  EXPECT_EQ(said(root / "loop"),
            "cannot read " + root / "loop" + ": Too many levels of symbolic links");
  root.Write("file", std::string((1 << 20) + 1, '\n'));
  EXPECT_EQ(said(file), file + " has more than 1048576 bytes");
}

}  // namespace
}  // namespace penstock
