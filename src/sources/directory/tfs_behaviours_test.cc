// SPDX-License-Identifier: Apache-2.0
// What TensorFlow Serving's file system source does, one test for each behaviour, by its number in
// the list that Penstock is checked against.
#include <gtest/gtest.h>

#include "sources/directory/directory_source_fixture.h"

namespace penstock {
namespace {

using Behaviours = DirectorySourceTest;

TEST_F(Behaviours, B50_NoVersionsAtStartupFilesAppearLater) {
  Make("m");
  const auto source = Source();
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND");
  EXPECT_EQ(target_.Next("m"), "");
  Place("m/3");
  EXPECT_EQ(target_.Next("m"), "3");
  EXPECT_EQ(target_.Next("m"), "ok");
}

TEST_F(Behaviours, B51_MultipleVersionsLatestByDefaultOtherNamesIgnored) {
  for (const char* child : {"1", "17", "tmp", "18.tmp"}) Make(std::string("m/") + child);
  const auto source = Source(Duration::zero());
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "17");
}

TEST_F(Behaviours, B52_NLatestVersions) {
  for (const char* child : {"1", "2", "3", "4"}) Make(std::string("m/") + child);
  const auto source = Source(Duration::zero());
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), core::LatestVersions{3}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "2,3,4");
  EXPECT_EQ(core::LatestVersions{}.count, 1);
}

TEST_F(Behaviours, B53_SpecificVersionsLeadingZerosEmpty) {
  for (const char* child : {"1", "2", "00017"}) Make(std::string("m/") + child);
  const auto source = Source(Duration::zero());
  source->Start(target_);
  const auto select = [&](std::vector<core::VersionNumber> versions) {
    EXPECT_TRUE(source->SetModels({{"m", Base("m"), core::SpecificVersions{versions}}}).ok());
    return target_.Next("m");
  };
  EXPECT_EQ(select({{1}, {17}}), "1,17");
  EXPECT_EQ(select({}), "error: NOT_FOUND");
  EXPECT_EQ(target_.Next("m"), "");
}

TEST_F(Behaviours, B54_MultipleServablesAndAChangedSetOfThem) {
  for (const char* version : {"a/1", "b/1", "c/1"}) Make(version);
  const auto source = Source(std::chrono::hours(1));
  ASSERT_TRUE(source->SetModels({{"a", Base("a"), {}}, {"b", Base("b"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("a"), "1");
  EXPECT_EQ(target_.Next("b"), "1");
  ASSERT_TRUE(source->SetModels({{"b", Base("b"), {}}, {"c", Base("c"), {}}}).ok());
  EXPECT_EQ(target_.Next("a"), "");  // at once
  EXPECT_EQ(target_.Next("c"), "1");
}

TEST_F(Behaviours, B55_ChangeVersionPolicy) {
  for (const char* child : {"1", "2", "3"}) Make(std::string("m/") + child);
  const auto source = Source();
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "3");
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), core::AllVersions{}}}).ok());
  EXPECT_EQ(target_.Next("m"), "1,2,3");
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), core::SpecificVersions{{{2}}}}}).ok());
  EXPECT_EQ(target_.Next("m"), "2");
}

TEST_F(Behaviours, B56_ParseTimestampedVersionAndServableVersionDirRenamed) {
  Make("m/1");
  Make("m/20261122103000");
  const auto source = Source(std::chrono::hours(1));
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "20261122103000");
  Rename("m/20261122103000", "m/20261122103000.denied");
  EXPECT_EQ(target_.Next("m"), "1");
}

TEST_F(Behaviours, B57_DuplicateVersions) {
  for (const char* child : {"0001", "001", "00001"}) Make(std::string("m/") + child);
  const auto source = Source(Duration::zero());
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), core::AllVersions{}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "1");
}

TEST_F(Behaviours, B57_LastVersionNotRemoved) {
  Make("m/1");
  DirectorySourceOptions options = Options(std::chrono::hours(1));
  options.keeps_last_versions = true;
  const auto source = Source(options);
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "1");
  Remove("m/1");
  EXPECT_EQ(target_.Next("m"), "error: NOT_FOUND");
  Make("m/2");
  EXPECT_EQ(target_.Next("m"), "2");  // and no empty list before
  EXPECT_EQ(target_.Next("m"), "ok");
}

TEST_F(Behaviours, B58_PollFilesystemOnlyOnce) {
  Make("m/1");
  const auto source = Source(Duration::zero());
  ASSERT_TRUE(source->SetModels({{"m", Base("m"), {}}}).ok());
  source->Start(target_);
  EXPECT_EQ(target_.Next("m"), "1");
  Make("m/2");
  // A scan of another model is a scan of this one too, if it is scanned at all.
  Make("n/1");
  ASSERT_TRUE(source->SetModels({{"n", Base("n"), {}}}).ok());
  EXPECT_EQ(target_.Next("m"), "");  // removed; version 2 was never reported
  EXPECT_EQ(target_.Next("n"), "1");
}

}  // namespace
}  // namespace penstock
