// SPDX-License-Identifier: Apache-2.0
#include "core/name_list.h"

#include <gtest/gtest.h>

namespace penstock::core {
namespace {

TEST(NameListTest, ListsTheNewestTenVersions) {
  EXPECT_EQ(DescribeVersions({}), "the model has no version");
  EXPECT_EQ(DescribeVersions({{3}}), "the model has version 3");
  EXPECT_EQ(DescribeVersions({{3}, {1}}), "the model has versions 1, 3");
  std::vector<VersionNumber> many;
  for (int64_t i = 1; i <= 11; ++i) many.push_back({i});
  EXPECT_EQ(DescribeVersions(many), "the model has versions ..., 2, 3, 4, 5, 6, 7, 8, 9, 10, 11");
}

TEST(NameListTest, ListsTheFirstTenLabels) {
  EXPECT_EQ(DescribeLabels({}), "the model has no label");
  EXPECT_EQ(DescribeLabels({"a"}), "the model has label \"a\"");
  EXPECT_EQ(DescribeLabels({"a", "b"}), "the model has labels \"a\", \"b\"");
  EXPECT_EQ(DescribeLabels({"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}),
            "the model has labels \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\", "
            "\"j\", ...");
}

}  // namespace
}  // namespace penstock::core
