// SPDX-License-Identifier: Apache-2.0
#include "sources/directory/directory_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sources/directory/directory_source_fixture.h"

namespace penstock {
namespace {

TEST_F(DirectorySourceTest, FollowsFoldersAsTheyComeAndGo) {
  Make("m");
  const auto source = Source();
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND");  // there is no version
  EXPECT_EQ(target_.Next("m"), "");
  Place("m/1");
  EXPECT_EQ(target_.Next("m"), "1");
  EXPECT_EQ(target_.Next("m"), "ok");
  Write("m/2.tmp/model");
  Write("m/7", "a file is no version");
  Rename("m/2.tmp", "m/2");
  EXPECT_EQ(target_.Next("m"), "2");
  Rename("m/2", "m/2.denied");
  EXPECT_EQ(target_.Next("m"), "1");
  Remove("m/1");
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND");
  EXPECT_EQ(target_.Next("m"), "");
  source->Stop();
  EXPECT_FALSE(target_.HasMore("m"));
}

TEST_F(DirectorySourceTest, Selections) {
  for (const char* version : {"1", "002", "3", "20", "x"}) Make(std::string("m/") + version);
  const auto source = Source(Duration::zero());
  source->Start(target_);
  const auto select = [&](core::VersionSelection selection) {
    EXPECT_TRUE(source->SetModels({{"m", Base("m"), std::move(selection)}}).ok());
    return target_.Next("m");
  };
  EXPECT_EQ(select({}), "20");
  EXPECT_EQ(select(core::LatestVersions{2}), "3,20");
  EXPECT_EQ(select(core::LatestVersions{100}), "1,2,3,20");
  EXPECT_EQ(select(core::AllVersions{}), "1,2,3,20");
  EXPECT_EQ(select(core::SpecificVersions{{{2}, {20}, {99}}}), "2,20");
  EXPECT_EQ(select(core::SpecificVersions{{{99}}}), "error: NOT_FOUND");
  EXPECT_EQ(target_.Next("m"), "");
}

TEST_F(DirectorySourceTest, ReportsNameTheGenerationOfTheirScan) {
  Make("m/1");
  const auto source = Source();
  source->Start(target_);
  const auto set = [&](const std::string& path, uint64_t generation) {
    ASSERT_TRUE(source->SetModels({{"m", Base(path), {}, generation}}).ok());
  };
  set("m", 3);
  EXPECT_EQ(target_.Next("m"), "1 of 3");
  set("m", 4);
  EXPECT_EQ(target_.Next("m"), "1 of 4");
  set("missing", 5);
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND of 5");
  ASSERT_TRUE(source->SetModels({}).ok());
  EXPECT_EQ(target_.Next("m"), " of 5");
}

TEST_F(DirectorySourceTest, MissingBasePathIsReportedOnceAndHarmsNoOtherModel) {
  Make("b/1");
  const auto source = Source();
  ASSERT_TRUE(source->SetModels({{"a", Base("a"), {}}, {"b", Base("b"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("a"), "error: NOT_FOUND");
  EXPECT_EQ(target_.Next("b"), "1");
  for (int version = 2; version < 5; ++version) {  // several scans
    Place("b/" + std::to_string(version));
    EXPECT_EQ(target_.Next("b"), std::to_string(version));
  }
  EXPECT_FALSE(target_.HasMore("a"));
  Write("a.new/1/model");
  Rename("a.new", "a");
  // The base path may be seen before the version in it.
  std::string reported = NextVersions("a");
  if (reported.empty()) reported = NextVersions("a");
  EXPECT_EQ(reported, "1");
  EXPECT_EQ(target_.Next("a"), "ok");
  Remove("a");
  // Gone altogether: nothing is unloaded. While it goes, it may be seen empty.
  reported = target_.Next("a");
  if (reported.empty()) reported = target_.Next("a");
  EXPECT_EQ(reported, "error: NOT_FOUND");
}

TEST_F(DirectorySourceTest, ModelsAreReplacedAtRunTime) {
  Make("a/1");
  Make("b/1");
  const auto source = Source(std::chrono::hours(1));  // only SetModels wakes it
  ASSERT_TRUE(source->SetModels({{"a", Base("a"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("a"), "1");
  ASSERT_TRUE(source->SetModels({{"b", Base("b"), {}}}).ok());
  EXPECT_EQ(target_.Next("a"), "");
  EXPECT_EQ(target_.Next("b"), "1");
  Place("a/9");
  ASSERT_TRUE(source->SetModels({{"b", Base("a"), {}}}).ok());
  EXPECT_EQ(target_.Next("b"), "9");
}

TEST_F(DirectorySourceTest, ErrorIsRepeatedForReplacedModelsAndCleared) {
  Make("good/1");
  const auto source = Source(std::chrono::hours(1));
  source->Start(target_);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(source->SetModels({{"a", Base("nowhere"), {}}}).ok());
    EXPECT_EQ(target_.Next("a"), "error: NOT_FOUND");
  }
  ASSERT_TRUE(source->SetModels({{"a", Base("good"), {}}}).ok());
  EXPECT_EQ(target_.Next("a"), "1");
  EXPECT_EQ(target_.Next("a"), "ok");
}

TEST_F(DirectorySourceTest, NegativePeriodNeverScans) {
  Make("a/1");
  const auto source = Source(-std::chrono::seconds(1));
  ASSERT_TRUE(source->SetModels({{"a", Base("a"), {}}}).ok());
  source->Start(target_);
  ASSERT_TRUE(source->SetModels({}).ok());
  source->Stop();
  EXPECT_EQ(loaders_made_, 0);
}

TEST_F(DirectorySourceTest, NegativePeriodIsWarnedOfOnce) {
  const auto source = Source(-std::chrono::seconds(1));
  const auto log_of = [&](std::vector<core::SourceModel> models) {
    testing::internal::CaptureStderr();
    EXPECT_TRUE(source->SetModels(std::move(models)).ok());
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(log_of({}), "");
  EXPECT_THAT(log_of({{"a", Base("a"), {}}}),
              testing::HasSubstr("--file_system_poll_wait_seconds is negative: no folder is ever "
                                 "scanned, so model a and all others in folders are not loaded"));
  EXPECT_EQ(log_of({{"b", Base("b"), {}}}), "");
}

TEST_F(DirectorySourceTest, LoaderThatCannotBeMadeIsTriedAgainWhenTheFilesChange) {
  Write("a/1/no_loader");
  Write("a/1/model");
  Make("a/2");
  const auto source = Source();
  ASSERT_TRUE(source->SetModels({{"a", Base("a"), core::AllVersions{}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("a"), "1!,2");
  Remove("a/1/no_loader");
  EXPECT_EQ(target_.Next("a"), "1,2");
}

TEST_F(DirectorySourceTest, WhatIsNotCompleteIsNoVersion) {
  Make("m/1");
  MakeEmpty("m/2");
  Write("m/3/variables/variables.index");
  Write("m/4/_SUCCESS", "");
  MakeEmpty("n/7");
  const auto source = Source();
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), {}}}).ok());
  testing::internal::CaptureStderr();
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "1");  // and no error: nothing is on its way
  EXPECT_EQ(target_.Incomplete("m"),
            (core::IncompleteVersions{{{2}, "it has no files, or only empty ones"},
                                      {{3}, "it has variables and no saved_model.pb"},
                                      {{4}, "it has no files, or only empty ones"}}));
  Write("m/3/saved_model.pb");
  EXPECT_EQ(NextVersions(), "3");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("model m: versions 2, 4 in base path " + Base("m") +
                                 " are not complete and left out: it has no files, or only empty "
                                 "ones; version 3 in base path " +
                                 Base("m") +
                                 " is not complete and left out: it has variables and no "
                                 "saved_model.pb\n"));
  // Nothing else is there: an empty folder is no reason to wait.
  ASSERT_TRUE(source->SetModels({{"n", Base("n"), {}}}).ok());
  EXPECT_EQ(target_.Next("n"), "error: NOT_FOUND");
  EXPECT_EQ(target_.LastMessage(),
            "there are no versions in base path " + Base("n") +
                ": version 7 is not complete: it has no files, or only empty ones");
}

TEST_F(DirectorySourceTest, VersionsBelowTheLatestAreReserves) {
  for (const char* version : {"1", "2", "3", "4", "5", "6"}) Make(std::string("m/") + version);
  const auto source = Source(Duration::zero());
  source->Start(target_);
  const auto reserves = [&](core::VersionSelection selection) {
    const int before = target_.reserves();
    EXPECT_TRUE(source->SetModels({{"m", Base("m"), std::move(selection)}}).ok());
    target_.Next("m");
    return target_.reserves() - before;
  };
  EXPECT_EQ(reserves({}), 3);
  EXPECT_EQ(reserves(core::LatestVersions{5}), 1);
  EXPECT_EQ(reserves(core::SpecificVersions{{{6}}}), 0);
  EXPECT_EQ(reserves(core::AllVersions{}), 0);
}

TEST_F(DirectorySourceTest, VersionsThatLabelsNameAreWantedToo) {
  for (const char* version : {"1", "2", "3"}) Make(std::string("m/") + version);
  const auto source = Source(Duration::zero());
  source->Start(target_);
  const auto label = [&](core::VersionSelection selection, std::set<core::VersionNumber> versions) {
    EXPECT_TRUE(
        source->SetModels({{"m", Base("m"), std::move(selection), 0, std::move(versions)}}).ok());
    return target_.Next("m");
  };
  EXPECT_EQ(label({}, {{1}}), "1L,3");
  EXPECT_EQ(label({}, {{2}, {3}, {9}}), "2L,3");
  EXPECT_EQ(label(core::SpecificVersions{{{1}}}, {{3}}), "1,3L");
}

TEST_F(DirectorySourceTest, BasePathsAreThoseWithoutAScheme) {
  const auto source = Source();
  for (const char* path : {"/models/a", "models/a", "/models/gs://a", "a:b"})
    EXPECT_TRUE(source->Matches(path)) << path;
  EXPECT_FALSE(source->Matches("gs://bucket/a"));
}

TEST_F(DirectorySourceTest, KnowsVersionsOfFoldersThatCanBeRead) {
  Make("m/1");
  const auto source = Source();
  EXPECT_EQ(source->HasVersion("m", Base("m"), {1}), true);
  EXPECT_EQ(source->HasVersion("m", Base("m"), {2}), false);
  EXPECT_EQ(source->HasVersion("m", Base("nowhere"), {1}), std::nullopt);
}

TEST_F(DirectorySourceTest, BadModelsAreRefused) {
  const auto source = Source();
  const auto code = [&](std::vector<core::SourceModel> models) {
    return source->SetModels(std::move(models)).code();
  };
  EXPECT_EQ(code({{"", "/x", {}}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"a", "", {}}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"a", "/x", {}}, {"a", "/y", {}}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"a", "/x", core::LatestVersions{0}}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"a", "/x", core::SpecificVersions{{{-1}}}}}), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace penstock
