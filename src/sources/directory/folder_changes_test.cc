// SPDX-License-Identifier: Apache-2.0
// What the source sees without scanning: the polls of most tests here are an hour apart.
#include <gtest/gtest.h>

#include "sources/directory/directory_source_fixture.h"

namespace penstock {
namespace {

// A model "m", whose changes are watched. One thread.
class FolderChangesTest : public DirectorySourceTest {
 protected:
  // Starts a source that waits for `settle_time`, and not for that if it is zero.
  void Start(Duration settle_time = Duration::zero(), core::VersionSelection selection = {}) {
    DirectorySourceOptions options = Options(std::chrono::hours(1));
    options.settling.settle_time = settle_time;
    Start(options, std::move(selection));
  }
  void Start(const DirectorySourceOptions& options, core::VersionSelection selection = {}) {
    source_ = Source(options);
    ASSERT_TRUE(source_->SetModels({{"m", Base("m"), std::move(selection)}}).ok());
    source_->Start(target_);
  }
  std::unique_ptr<DirectorySource> source_;
};

TEST_F(FolderChangesTest, BasePathThatIsMadeLaterStepByStep) {
  Make("deep");
  source_ = Source(std::chrono::hours(1));
  ASSERT_TRUE(source_->SetModels({{"m", Base("deep/down/m"), {}}}).ok());
  source_->Start(target_);
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND");
  Make("deep/down");
  Make("deep/down/m");
  Make("deep/down/m/1");
  std::string reported = NextVersions();
  if (reported.empty()) reported = NextVersions();
  EXPECT_EQ(reported, "1");
}

TEST_F(FolderChangesTest, BasePathThatIsReplacedByRenaming) {
  Make("m/1");
  Make("new/2");
  Start();
  EXPECT_EQ(NextVersions(), "1");
  Rename("m", "old");
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND");  // and unloads nothing
  Rename("new", "m");
  EXPECT_EQ(target_.Next("m"), "2");
  EXPECT_EQ(target_.Next("m"), "ok");
  Make("old/7");  // watched no more
  Make("m/3");
  EXPECT_EQ(target_.Next("m"), "3");
}

TEST_F(FolderChangesTest, SymbolicLinkToTheBasePathIsSwitched) {
  Make("releases/a/1");
  Make("releases/b/2");
  Link("releases/a", "m");
  Start(std::chrono::hours(1));  // switched by a rename: complete however young
  EXPECT_EQ(target_.Next("m"), "error: FAILED_PRECONDITION");
  Link("releases/b", "m.new");
  Rename("m.new", "m");
  EXPECT_EQ(NextVersions(), "2");
}

TEST_F(FolderChangesTest, SymbolicLinkAboveTheBasePathIsSwitched) {
  Make("releases/a/m/1");
  Make("releases/b/m/2");
  Link("releases/a", "current");
  source_ = Source(std::chrono::hours(1));
  ASSERT_TRUE(source_->SetModels({{"m", Base("current/m"), {}}}).ok());
  source_->Start(target_);
  EXPECT_EQ(target_.Next("m"), "1");
  Link("releases/b", "new");
  Rename("new", "current");
  EXPECT_EQ(target_.Next("m"), "2");
}

// A Kubernetes volume: the versions are links through "..data", which is switched by a rename.
TEST_F(FolderChangesTest, VersionsThatAreLinksThroughAnotherOne) {
  Make("m/..2026_1/1");
  Write("m/..2026_1/1/model", "broken");
  Link("..2026_1", "m/..data");
  Link("..data/1", "m/1");
  Start(std::chrono::hours(1));
  EXPECT_EQ(target_.Next("m"), "error: FAILED_PRECONDITION");
  Make("m/..2026_2/1");
  Make("m/..2026_2/2");
  Write("m/..2026_2/1/model", "whole");
  Link("..2026_2", "m/..data_tmp");
  Rename("m/..data_tmp", "m/..data");
  EXPECT_EQ(NextVersions(), "1");
}

TEST_F(FolderChangesTest, RenamedVersionIsReportedAtOnce) {
  Make("m/1.incoming");
  Start(std::chrono::hours(1));
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND");
  EXPECT_EQ(target_.Next("m"), "");
  Write("m/1.incoming/model");
  Rename("m/1.incoming", "m/1");
  EXPECT_EQ(target_.Next("m"), "1");
  EXPECT_EQ(target_.Next("m"), "ok");
  Make("elsewhere/2");
  Write("elsewhere/2/model");
  Rename("elsewhere/2", "m/2");
  EXPECT_EQ(target_.Next("m"), "2");
}

TEST_F(FolderChangesTest, VersionThatIsBeingCopiedWaitsAndSaysSo) {
  Make("m");
  Start(std::chrono::hours(1), core::LatestVersions{2});
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND");
  EXPECT_EQ(target_.Next("m"), "");
  Make("m/1");
  EXPECT_EQ(target_.Next("m"), "error: FAILED_PRECONDITION");
  EXPECT_EQ(target_.LastMessage(),
            "version 1 in base path " + Base("m") +
                " is not complete yet and waits: its files have changed less than 3600000 ms ago");
  // Another one is not held up, and takes its place.
  Write("x/model");
  Rename("x", "m/2");
  EXPECT_EQ(target_.Next("m"), "2");
  EXPECT_FALSE(target_.HasMore("m"));
}

TEST_F(FolderChangesTest, NothingIsUnloadedForAVersionThatWaits) {
  Write("x/model");
  Make("m");
  Start(std::chrono::hours(1));
  EXPECT_EQ(NextVersions(), "");
  Rename("x", "m/2");
  EXPECT_EQ(NextVersions(), "2");
  EXPECT_EQ(target_.Next("m"), "ok");
  Make("m/1");
  Remove("m/2");
  EXPECT_EQ(target_.Next("m"), "error: FAILED_PRECONDITION");
  Write("y/model");
  Rename("y", "m/3");
  EXPECT_EQ(NextVersions(), "3");  // and no empty list before
}

TEST_F(FolderChangesTest, CopyIsCompleteWhenNothingChangesAnyMore) {
  Make("m");
  Start(std::chrono::milliseconds(20));
  EXPECT_EQ(NextVersions(), "");
  Make("m/1");
  Write("m/1/model");
  EXPECT_EQ(NextVersions(), "1");
}

TEST_F(FolderChangesTest, FileThatIsOpenForWritingIsWaitedFor) {
  Make("m/1");
  DirectorySourceOptions options = Options(std::chrono::hours(1));
  options.settling.settle_time = std::chrono::milliseconds(1);
  options.settling.open_time_max = std::chrono::hours(1);
  Start(options, core::AllVersions{});
  EXPECT_EQ(NextVersions(), "1");
  const int made = loaders_made_;
  std::ofstream file(root_ / "m/1/model");
  file << "half" << std::flush;
  // By the time another version has come and gone, the open file has been seen.
  Make("m/2");
  EXPECT_EQ(NextVersions(), "1,2");
  Rename("m/2", "m/2.gone");
  EXPECT_EQ(NextVersions(), "1");
  EXPECT_EQ(loaders_made_, made + 3);
  file.close();
  EXPECT_EQ(NextVersions(), "1");  // its files are other ones
}

TEST_F(FolderChangesTest, ChangedFilesAreReportedWhenComplete) {
  Make("m/1");
  Write("m/1/model", "broken");
  Start();
  EXPECT_EQ(target_.Next("m"), "1");
  Write("m/1/model.new", "whole");
  EXPECT_EQ(NextVersions(), "1");
  Rename("m/1/model.new", "m/1/model");
  EXPECT_EQ(NextVersions(), "1");
}

TEST_F(FolderChangesTest, PollFindsVersionsWithoutWatches) {
  Make("m/1");
  DirectorySourceOptions options = Options();
  options.watches_max = 1;  // the base path's; there is none left for the version
  Start(options);
  EXPECT_EQ(NextVersions(), "1");
  Make("m/1/variables");
  EXPECT_EQ(NextVersions(), "1");
  Make("m/2");
  EXPECT_EQ(NextVersions(), "2");
}

TEST_F(FolderChangesTest, PollsAloneWaitForACopyToo) {
  Make("m");
  DirectorySourceOptions options = Options();
  options.watches_max = 0;
  options.settling.settle_time = std::chrono::milliseconds(20);
  Start(options);
  EXPECT_EQ(NextVersions(), "");
  Make("m/1");
  EXPECT_EQ(NextVersions(), "1");
}

TEST_F(FolderChangesTest, PollsAloneReportVersionsThatWait) {
  Make("m/1");
  DirectorySourceOptions options = Options();
  options.watches_max = 0;
  options.settling.settle_time = std::chrono::hours(1);
  Start(options);
  EXPECT_EQ(target_.Next("m"), "error: FAILED_PRECONDITION");
}

TEST_F(FolderChangesTest, SingleScanWaitsForIncompleteVersions) {
  Make("m/1");
  DirectorySourceOptions options = Options(Duration::zero());
  options.settling.settle_time = std::chrono::milliseconds(20);
  Start(options);
  EXPECT_EQ(NextVersions(), "1");
}

}  // namespace
}  // namespace penstock
