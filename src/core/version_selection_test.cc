// SPDX-License-Identifier: Apache-2.0
#include "core/version_selection.h"

#include <gtest/gtest.h>

namespace penstock::core {
namespace {

TEST(VersionSelectionTest, SelectsLatestAllOrSpecificVersions) {
  const std::set<VersionNumber> there = {{1}, {2}, {3}, {20}};
  using Versions = std::set<VersionNumber>;
  EXPECT_EQ(SelectVersions({}, there), (Versions{{20}}));
  EXPECT_EQ(SelectVersions(LatestVersions{2}, there), (Versions{{3}, {20}}));
  EXPECT_EQ(SelectVersions(LatestVersions{100}, there), there);
  EXPECT_EQ(SelectVersions(AllVersions{}, there), there);
  EXPECT_EQ(SelectVersions(SpecificVersions{{{2}, {20}, {99}}}, there), (Versions{{2}, {20}}));
  EXPECT_EQ(SelectVersions(SpecificVersions{}, there), Versions());
  EXPECT_EQ(SelectVersions({}, {}), Versions());
}

TEST(VersionSelectionTest, InvalidSelectionIsRefused) {
  EXPECT_TRUE(CheckSelection("m", {}).ok());
  EXPECT_EQ(CheckSelection("m", LatestVersions{0}),
            absl::InvalidArgumentError(
                "the model \"m\" shall serve the latest 0 versions; at least 1 is needed"));
  EXPECT_EQ(CheckSelection("m", SpecificVersions{{{3}, {-1}}}),
            absl::InvalidArgumentError(
                "the model \"m\" shall serve version -1, but versions are not negative"));
}

TEST(ParseVersionTest, AcceptsOnlyDigits) {
  EXPECT_EQ(ParseVersion("0")->value, 0);
  EXPECT_EQ(ParseVersion("00017")->value, 17);
  EXPECT_EQ(ParseVersion("20261122061406")->value, 20261122061406);
  EXPECT_EQ(ParseVersion("9223372036854775807")->value, INT64_MAX);
  for (const char* name :
       {"", "9223372036854775808", "17.tmp", "tmp", "-1", "+1", " 1", "1 ", "0x1", "2.denied"}) {
    EXPECT_FALSE(ParseVersion(name)) << name;
  }
}

}  // namespace
}  // namespace penstock::core
