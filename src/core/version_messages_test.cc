// SPDX-License-Identifier: Apache-2.0
#include "core/version_messages.h"

#include <gtest/gtest.h>

namespace penstock::core {
namespace {

TEST(VersionMessagesTest, EachVersionThatIsLeftOutGetsItsOwnReason) {
  EXPECT_EQ(LeftOut("/m", {{{9}, "it has no files"}}),
            "version 9 in /m is not complete and left out: it has no files");
  EXPECT_EQ(
      LeftOut("/m",
              {{{7}, "no saved_model.pb"}, {{8}, "it has no files"}, {{9}, "no saved_model.pb"}}),
      "versions 7, 9 in /m are not complete and left out: no saved_model.pb; "
      "version 8 in /m is not complete and left out: it has no files");
}

TEST(VersionMessagesTest, NoneSelectedSaysWhatIsWantedAndWhatIsThere) {
  EXPECT_EQ(
      NoneSelected("/m", SpecificVersions{{{77}, {7}}}, {{1}, {2}}),
      absl::NotFoundError("none of the wanted versions is in /m; wanted: 7, 77; there are: 1, 2"));
}

TEST(VersionMessagesTest, NoneSelectedSaysThatNoVersionIsAskedFor) {
  EXPECT_EQ(NoneSelected("/m", SpecificVersions{}, {{1}, {2}}),
            absl::NotFoundError("the configuration asks for no version; in /m there are: 1, 2"));
}

TEST(VersionMessagesTest, AbsentNamesTheWantedVersionsThatAreNotThere) {
  EXPECT_EQ(Absent("/m", SpecificVersions{{{1}, {77}}}, {{1}, {2}}),
            "version 77 is wanted and is not in /m; there are: 1, 2");
  EXPECT_EQ(Absent("/m", SpecificVersions{{{1}, {77}, {7}}}, {{1}, {2}}),
            "versions 7, 77 are wanted and are not in /m; there are: 1, 2");
  EXPECT_EQ(Absent("/m", SpecificVersions{{{1}, {2}}}, {{1}, {2}}), "");
  EXPECT_EQ(Absent("/m", LatestVersions{5}, {{1}, {2}}), "");
}

TEST(VersionMessagesTest, LongListsAreCut) {
  std::set<VersionNumber> versions;
  for (int64_t i = 10; i < 31; ++i) versions.insert({i});
  EXPECT_EQ(ListVersions(versions),
            "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, ...");
}

}  // namespace
}  // namespace penstock::core
