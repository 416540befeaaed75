// SPDX-License-Identifier: Apache-2.0
#include "sources/directory/folder_watches.h"

#include <gtest/gtest.h>

#include "sources/directory/directory_source_fixture.h"

namespace penstock {
namespace {

// Watches of the model "m" and others, without a thread. One thread.
class FolderWatchesTest : public DirectorySourceTest {
 protected:
  // The models that changed.
  std::vector<std::string> Read() {
    std::vector<std::string> models;
    watches_.Read([&](const std::string& model) { models.push_back(model); });
    return models;
  }
  void WatchBase(const std::string& model, const std::string& folder) {
    watches_.Begin(model);
    EXPECT_TRUE(watches_.AddBase(Base(folder)));
    watches_.End();
  }

  FolderWatches watches_{/*is_on=*/true, /*watches_max=*/3};
};

TEST_F(FolderWatchesTest, ReportsTheModelsOfAFolder) {
  Make("a");
  Make("b");
  WatchBase("m", "a");
  WatchBase("n", "a");
  WatchBase("o", "b");
  EXPECT_EQ(Read(), std::vector<std::string>());
  Make("a/1");
  EXPECT_EQ(Read(), (std::vector<std::string>{"m", "n"}));
  EXPECT_TRUE(watches_.Take("m").is_changed);
  EXPECT_FALSE(watches_.Take("m").is_changed);
  EXPECT_EQ(Read(), std::vector<std::string>{"n"});  // until it is taken
  watches_.Remove("n");
  Make("a/2");
  EXPECT_EQ(Read(), std::vector<std::string>{"m"});
}

TEST_F(FolderWatchesTest, WhatIsNotAddedAgainIsNotWatchedAnyMore) {
  Make("a");
  Make("b");
  WatchBase("m", "a");
  WatchBase("m", "b");
  Make("a/1");
  EXPECT_EQ(Read(), std::vector<std::string>());
  watches_.Begin("m");
  EXPECT_TRUE(watches_.AddBase(Base("b")));
  EXPECT_TRUE(watches_.AddFiles(Base("a/1"), {1}));
  watches_.End();
  watches_.Begin("m");
  EXPECT_TRUE(watches_.AddBase(Base("b")));
  watches_.KeepFiles({1});
  watches_.End();
  Write("a/1/model");
  EXPECT_EQ(Read(), std::vector<std::string>{"m"});
}

TEST_F(FolderWatchesTest, StepsReportOnlyTheirOwnEntry) {
  Make("a");
  watches_.Begin("m");
  EXPECT_TRUE(watches_.AddStep(Base("a"), "link"));
  watches_.End();
  Make("a/other");
  EXPECT_EQ(Read(), std::vector<std::string>());
  Rename("a/other", "a/link");
  EXPECT_EQ(Read(), std::vector<std::string>{"m"});
  EXPECT_TRUE(watches_.Take("m").all_renamed);
  Remove("a");  // the folder itself concerns everyone
  EXPECT_EQ(Read(), std::vector<std::string>{"m"});
}

TEST_F(FolderWatchesTest, ReportsVersionsRenamedIntoTheBasePath) {
  Make("a/x");
  WatchBase("m", "a");
  Make("a/1");
  Rename("a/x", "a/02");
  Read();
  EXPECT_EQ(watches_.Take("m").renamed, std::set<core::VersionNumber>{{2}});
}

TEST_F(FolderWatchesTest, KnowsTheFilesThatAreOpenForWriting) {
  Make("a/1");
  watches_.Begin("m");
  EXPECT_TRUE(watches_.AddFiles(Base("a/1"), {1}));
  watches_.End();
  std::ofstream file(root_ / "a/1/part");
  Link("part", "a/1/link");
  fs::create_hard_link(root_ / "a/1/part", root_ / "a/1/same");
  Remove("a/1/same");
  Make("a/1/folder");
  Read();
  Rename("a/1/part", "a/1/model");
  Read();
  EXPECT_EQ(watches_.OpenFile("m", {1}), Base("a/1/model"));
  EXPECT_EQ(watches_.OpenFile("m", {2}), std::nullopt);
  EXPECT_EQ(watches_.OpenFile("n", {1}), std::nullopt);
  file.close();
  Read();
  EXPECT_EQ(watches_.OpenFile("m", {1}), std::nullopt);
  std::ofstream other(root_ / "a/1/other");
  Read();
  EXPECT_EQ(watches_.OpenFile("m", {1}), Base("a/1/other"));
  Remove("a/1/other");
  Read();
  EXPECT_EQ(watches_.OpenFile("m", {1}), std::nullopt);
}

TEST_F(FolderWatchesTest, LimitsAndMissingFoldersAreRefused) {
  for (const char* folder : {"a", "b", "c", "d"}) Make(folder);
  watches_.Begin("m");
  EXPECT_FALSE(watches_.AddBase(Base("nowhere")));
  EXPECT_TRUE(watches_.AddBase(Base("a")));
  EXPECT_TRUE(watches_.AddStep(Base("a"), "x"));  // the same folder
  EXPECT_TRUE(watches_.AddBase(Base("b")));
  EXPECT_TRUE(watches_.AddBase(Base("c")));
  EXPECT_FALSE(watches_.AddBase(Base("d")));
  watches_.End();
  FolderWatches off(/*is_on=*/false, 10);
  off.Begin("m");
  EXPECT_FALSE(off.AddBase(Base("a")));
  off.End();
  EXPECT_EQ(off.fd(), -1);
}

TEST_F(FolderWatchesTest, MoreNewsThanTheKernelKeepsConcernEveryone) {
  size_t queue_max = 0;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> queue_max;
  if (queue_max == 0 || queue_max > 100'000) GTEST_SKIP() << "a queue of " << queue_max;
  Make("a");
  Make("b");
  WatchBase("m", "a");
  WatchBase("n", "b");
  Make("a/x");
  Make("a/y");
  for (size_t i = 0; i <= queue_max; ++i) {
    const auto permissions = i % 4 < 2 ? fs::perms::owner_all : fs::perms::owner_read;
    fs::permissions(root_ / (i % 2 == 0 ? "a/x" : "a/y"), permissions);
  }
  std::vector<std::string> changed;
  for (int i = 0; i < 100 && changed.size() < 2; ++i) changed = Read();
  EXPECT_EQ(changed, (std::vector<std::string>{"m", "n"}));
}

}  // namespace
}  // namespace penstock
