// SPDX-License-Identifier: Apache-2.0
#include "models/model_roots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/os/test_folder.h"

namespace penstock {
namespace {

using testing::HasSubstr;

class ModelRootsTest : public testing::Test {
 protected:
  ModelRootsTest() {
    folder_.Make("root/there");
    folder_.Make("outside/models");
    Link("outside", "root/out");
    Link("nowhere", "root/dangling");
    Link("root/there", "root/inside");
    Link("root", "linked_root");
  }
  void Link(const std::string& to, const std::string& name) {
    std::filesystem::create_symlink(folder_ / to, folder_ / name);
  }
  bool Allows(const std::string& path) const {
    const Status status = roots_.Check("m", path);
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kPermissionDenied) << status;
    return status.ok();
  }
  void Use(const std::string& list) {
    auto roots = ModelRoots::Parse(list);
    ASSERT_TRUE(roots.ok()) << roots.status();
    roots_ = *std::move(roots);
  }

  const TestFolder folder_;
  ModelRoots roots_;
};

TEST_F(ModelRootsTest, WithoutRootsEveryPathIsAllowed) {
  EXPECT_TRUE(Allows("/etc"));
  Use("");
  EXPECT_TRUE(Allows("/etc"));
  EXPECT_TRUE(Allows("s3://any/thing"));
}

TEST_F(ModelRootsTest, AllowsWhatIsBelowARoot) {
  Use(folder_ / "root");
  for (const char* path : {"root", "root/", "root/there", "root/there/", "root/./there",
                           "root//there", "root/not/there/yet", "root/inside", "linked_root/there"})
    EXPECT_EQ(Allows(folder_ / path), std::string_view(path) != "linked_root/there") << path;
  EXPECT_TRUE(Allows("builtin:identity"));
}

TEST_F(ModelRootsTest, RefusesWhatIsNot) {
  Use(folder_ / "root");
  for (const char* path :
       {"root2", "roo", "outside", "outside/models", "root/../outside", "root/there/..", "nowhere"})
    EXPECT_FALSE(Allows(folder_ / path)) << path;
  for (const char* path : {"/", "", "/etc", "there", "s3://bucket/m", "root/there"})
    EXPECT_FALSE(Allows(path)) << path;
}

TEST_F(ModelRootsTest, NoLinkLeadsOut) {
  Use(folder_ / "root");
  EXPECT_FALSE(Allows(folder_ / "root/out"));
  EXPECT_FALSE(Allows(folder_ / "root/out/models"));
  EXPECT_FALSE(Allows(folder_ / "root/out/not_there"));
  // Its target may appear later, anywhere.
  EXPECT_FALSE(Allows(folder_ / "root/dangling"));
  EXPECT_FALSE(Allows(folder_ / "root/dangling/models"));
}

TEST_F(ModelRootsTest, ARootMayBeALink) {
  Use(folder_ / "linked_root");
  EXPECT_TRUE(Allows(folder_ / "linked_root/there"));
  EXPECT_TRUE(Allows(folder_ / "root/there"));
  EXPECT_FALSE(Allows(folder_ / "linked_root/out"));
}

TEST_F(ModelRootsTest, StoresAreComparedPartByPart) {
  Use("s3://bucket/models/," + (folder_ / "root"));
  for (const char* path : {"s3://bucket/models", "s3://bucket/models/", "s3://bucket/models/a/b"})
    EXPECT_TRUE(Allows(path)) << path;
  for (const char* path :
       {"s3://bucket", "s3://bucket/models2", "s3://other/models", "gs://bucket/models",
        "s3://bucket/models/../x", "s3://bucket/models//x", "s3://bucket/models/./x"})
    EXPECT_FALSE(Allows(path)) << path;
  EXPECT_TRUE(Allows(folder_ / "root/there"));
}

TEST_F(ModelRootsTest, RefusesBadRoots) {
  const auto error = [](const std::string& list) {
    return std::string(MessageOf(ModelRoots::Parse(list).status()));
  };
  EXPECT_THAT(error(folder_ / "none"), HasSubstr("No such file"));
  EXPECT_THAT(error(folder_.Write("file")), HasSubstr("it is no folder"));
  EXPECT_THAT(error((folder_ / "root") + ",,"), HasSubstr("a root is empty"));
  EXPECT_THAT(error("gs://bucket/models"), HasSubstr("object stores are named as s3://"));
  EXPECT_THAT(error("s3://"), HasSubstr("it must be like s3://bucket/prefix"));
  EXPECT_THAT(error(folder_ / "root/../root"), HasSubstr("'..'"));
}

}  // namespace
}  // namespace penstock
