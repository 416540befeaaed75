// SPDX-License-Identifier: Apache-2.0
#include "config/shard_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The numbers below 8 whose models "e-NUMBER" are kept.
std::vector<int> Kept(std::string_view expression, std::optional<int64_t> k = std::nullopt) {
  const auto filter = ShardFilter::Parse("e-{i}: " + std::string(expression), k);
  EXPECT_TRUE(filter.ok()) << filter.status();
  std::vector<int> kept;
  for (int i = 0; filter.ok() && i < 8; ++i) {
    if (*filter->Keeps("e-" + std::to_string(i))) kept.push_back(i);
  }
  return kept;
}

TEST(ShardFilterTest, KeepsTheModelsForWhichItIsTrue) {
  EXPECT_THAT(Kept("i % 3 == k", 1), ElementsAre(1, 4, 7));
  EXPECT_THAT(Kept("i%3==k%3", 5), ElementsAre(2, 5));
  EXPECT_THAT(Kept("i < 2 || i >= 7"), ElementsAre(0, 1, 7));
  EXPECT_THAT(Kept("i > 2 && i <= 4"), ElementsAre(3, 4));
  EXPECT_THAT(Kept("i / 2 != 1 && i - 3 < 0"), ElementsAre(0, 1));
  EXPECT_THAT(Kept("1 + 2 * i == 7"), ElementsAre(3));
  EXPECT_THAT(Kept("(1 + 2) * i == 6"), ElementsAre(2));
  EXPECT_THAT(Kept("10 - 3 - 2 == i"), ElementsAre(5)) << "from left to right";
  EXPECT_THAT(Kept("i == 1 || i == 2 && i == 3"), ElementsAre(1)) << "&& goes first";
  EXPECT_THAT(Kept("0"), ElementsAre());
}

TEST(ShardFilterTest, OtherModelsAreKept) {
  const ShardFilter filter = *ShardFilter::Parse(" a{i}z: i == 1 ;b:{i}: i == 2", std::nullopt);
  for (const char* name :
       {"a1z", "az", "ax1z", "a1", "b:2", "b:", "c", "b:1x", "a1234567890123456789z"})
    EXPECT_TRUE(*filter.Keeps(name)) << name;
  for (const char* name : {"a2z", "a0z", "b:1", "b:03"}) EXPECT_FALSE(*filter.Keeps(name)) << name;
  EXPECT_TRUE(*ShardFilter::Parse("", std::nullopt)->Keeps("a"));
}

TEST(ShardFilterTest, SaysWhatIsWrong) {
  const auto error = [](std::string_view text) {
    return ShardFilter::Parse(text, std::nullopt).status().ToString();
  };
  EXPECT_THAT(error("e: i == 1"), HasSubstr("'e: i == 1' is no rule: write a name with {i} in it"));
  EXPECT_THAT(error("e-{i}"), HasSubstr("is no rule"));
  EXPECT_THAT(error("{i}{i}: 1"), HasSubstr("is no rule"));
  EXPECT_THAT(error("e-{i}: 1;"), HasSubstr("'' is no rule"));
  EXPECT_THAT(error("e-{i}: i % 3 = 1"), HasSubstr("'i % 3 = 1' has '= 1' where an operator"));
  EXPECT_THAT(error("e-{i}: i %"), HasSubstr("has its end where a number, i, k or '('"));
  EXPECT_THAT(error("e-{i}: n == 1"), HasSubstr("has 'n == 1' where a number"));
  EXPECT_THAT(error("e-{i}: (i == 1"), HasSubstr("has its end where ')'"));
  EXPECT_THAT(error("e-{i}: 1234567890123456789"), HasSubstr("a smaller number"));
  EXPECT_THAT(error("e-{i}: " + std::string(60, '(')), HasSubstr("nested too deep"));
  EXPECT_THAT(error("e-{i}: i == k"), HasSubstr("needs k, the number of this server"));
  const ShardFilter filter = *ShardFilter::Parse("e-{i}: 1 / i", std::nullopt);
  EXPECT_THAT(filter.Keeps("e-0").status().ToString(), HasSubstr("'1 / i' has no value"));
}

TEST(ShardFilterTest, TheHostNameOfAStatefulSetHasTheNumber) {
  EXPECT_EQ(OrdinalOf("emb-2"), 2);
  EXPECT_EQ(OrdinalOf("emb-a-13.emb.models.svc"), 13);
  for (const char* name : {"emb", "emb-", "emb-2a", "", "7"})
    EXPECT_EQ(OrdinalOf(name), std::nullopt);
}

}  // namespace
}  // namespace penstock
