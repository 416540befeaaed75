// SPDX-License-Identifier: Apache-2.0
#include "sources/directory/version_folders.h"

#include <gtest/gtest.h>

#include "sources/directory/directory_source_fixture.h"
#include "sources/directory/folder_stamp.h"

namespace penstock {
namespace {

using VersionFoldersTest = DirectorySourceTest;

TEST_F(VersionFoldersTest, SameNumberTwiceIsOneVersion) {
  for (const char* version : {"1", "01", "001"}) Make(std::string("m/") + version);
  EXPECT_EQ(*ListVersionFolders(Base("m")),
            (std::map<core::VersionNumber, std::string>{{{1}, Base("m") + "/001"}}));
}

TEST_F(VersionFoldersTest, BasePathErrorsSayWhichPath) {
  Write("file");
  const Status missing = ListVersionFolders(Base("nowhere")).status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_NE(missing.message().find("nowhere"), absl::string_view::npos);
  EXPECT_EQ(ListVersionFolders(Base("file")).status().code(), StatusCode::kNotFound);
  Link("round", "round");
  EXPECT_EQ(ListVersionFolders(Base("round")).status().code(), StatusCode::kInternal);
}

TEST_F(VersionFoldersTest, AFileAsBasePathSaysWhichFolderToGive) {
  Make("m/1");
  for (const char* path : {"alone.onnx", "m/1/model.onnx"}) Write(path);
  EXPECT_EQ(MessageOf(ListVersionFolders(Base("alone.onnx")).status()),
            "cannot list the versions in base path " + Base("alone.onnx") +
                ": Not a directory; it is a file: give a folder whose subfolders are versions, "
                "such as 1/alone.onnx");
  EXPECT_EQ(
      MessageOf(ListVersionFolders(Base("m/1/model.onnx")).status()),
      "cannot list the versions in base path " + Base("m/1/model.onnx") +
          ": Not a directory; it is a file of version 1: give the folder above that version, " +
          Base("m"));
}

TEST_F(VersionFoldersTest, ResolvesLinksAndNamesTheStepsThatDecide) {
  const fs::path root = fs::canonical(root_.path());
  Make("releases/5/m");
  Link("releases/5", "current");
  Link((root / "current/./m").string(), "model");
  const ResolvedPath resolved = ResolveFolder((root / "releases/../model").string());
  EXPECT_EQ(resolved.folder, root / "releases/5/m");
  EXPECT_EQ(resolved.steps, (std::vector<PathStep>{{root, "model"}, {root, "current"}}));
}

TEST_F(VersionFoldersTest, PathThatLeadsNowhereEndsAtTheFirstMissingStep) {
  const fs::path root = fs::canonical(root_.path());
  Write("file");
  Link("gone/further", "dangling");
  Link("round", "round");
  EXPECT_EQ(ResolveFolder(root / "a/b/c").steps, (std::vector<PathStep>{{root, "a"}}));
  EXPECT_EQ(ResolveFolder(root / "file/c").steps, (std::vector<PathStep>{{root, "file"}}));
  EXPECT_EQ(ResolveFolder(root / "dangling/c").steps,
            (std::vector<PathStep>{{root, "dangling"}, {root, "gone"}}));
  for (const char* path : {"a/b/c", "file/c", "dangling/c", "round"}) {
    EXPECT_EQ(ResolveFolder(root / path).folder, "") << path;
  }
}

uint64_t HashOf(const fs::path& path) {
  return StampFolder(path, [](const std::string&) {}).hash;
}

TEST_F(VersionFoldersTest, StampChangesWithWhateverIsDoneToTheFiles) {
  Make("m/variables");
  Write("m/model", "one");
  Write("m/variables/data", "one");
  uint64_t last = HashOf(root_ / "m");
  EXPECT_EQ(HashOf(root_ / "m"), last);
  const auto expect_change = [&](const char* what) {
    const uint64_t now = HashOf(root_ / "m");
    EXPECT_NE(now, last) << what;
    last = now;
  };
  Write("m/variables/data", "longer");
  expect_change("size");
  fs::last_write_time(root_ / "m/model", fs::file_time_type::clock::now() - std::chrono::hours(2));
  expect_change("time");
  fs::permissions(root_ / "m/model", fs::perms::owner_read);
  expect_change("permissions");
  Rename("m/variables/data", "m/variables/date");
  expect_change("name");
  Remove("m/variables/date");
  expect_change("deleted");
  Link("nowhere", "m/link");
  expect_change("dangling link");
  Remove("m");
  expect_change("all deleted");
}

TEST_F(VersionFoldersTest, StampFollowsLinksButNotInCircles) {
  Make("m");
  Make("store");
  Write("store/data", "one");
  Link("../store", "m/data");
  Link("..", "m/up");
  std::vector<std::string> folders;
  const FolderStamp before =
      StampFolder(root_ / "m", [&](const std::string& folder) { folders.push_back(folder); });
  Write("store/data", "other");
  EXPECT_NE(HashOf(root_ / "m"), before.hash);
  EXPECT_EQ(folders.size(), 3U);  // m, the root above it, and the store
}

TEST_F(VersionFoldersTest, NewestChangeCannotBeSetBack) {
  Make("m");
  const auto start = std::chrono::system_clock::now() - std::chrono::seconds(1);
  Write("m/model");
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(99);
  fs::last_write_time(root_ / "m/model", long_ago);
  fs::last_write_time(root_ / "m", long_ago);
  EXPECT_GE(StampFolder(root_ / "m", [](const std::string&) {}).newest_change, start);
}

}  // namespace
}  // namespace penstock
