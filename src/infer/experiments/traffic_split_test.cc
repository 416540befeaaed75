// SPDX-License-Identifier: Apache-2.0
#include "infer/experiments/traffic_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/status.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<ArmOptions> Arms(const std::vector<std::pair<std::string, uint32_t>>& weights) {
  std::vector<ArmOptions> arms;
  for (const auto& [name, weight] : weights) arms.push_back({name, {}, weight});
  return arms;
}

std::string FirstArm(const std::vector<ArmOptions>& arms, const std::string& key) {
  const ArmOrder order = OrderArms(arms, PositionOf("m", key));
  return order.empty() ? "" : arms[order[0]].name;
}

// The share of each arm, in per mille of 100,000 keys.
std::map<std::string, int> Shares(const std::vector<ArmOptions>& arms) {
  std::map<std::string, int> counts;
  for (int i = 0; i < 100'000; ++i) ++counts[FirstArm(arms, fmt::format("user-{}", i))];
  for (auto& [name, count] : counts) count = (count + 50) / 100;
  return counts;
}

// Whoever changes these numbers moves users of running experiments to other arms.
TEST(TrafficSplitTest, HashesNeverChange) {
  EXPECT_EQ(StableHash(""), 0xf52a15e9a9b5e89bu);
  EXPECT_EQ(StableHash("user-1"), 0xc499b5f8a721df58u);
  EXPECT_EQ(PositionOf("model", "user-1"), 0x5a1fbcb97350f601u);
  const auto arms = Arms({{"a", 1}, {"b", 2}, {"c", 3}});
  std::string text;
  for (int i = 0; i < 40; ++i) text += FirstArm(arms, fmt::format("user-{}", i));
  EXPECT_EQ(text, "cbabccbcccccabcccbacaccbaacbbabbccbbbcba");
}

TEST(TrafficSplitTest, SharesAreTheWeights) {
  const auto shares = Shares(Arms({{"a", 1}, {"b", 30}, {"c", 69}}));
  EXPECT_NEAR(shares.at("a"), 10, 2);
  EXPECT_NEAR(shares.at("b"), 300, 6);
  EXPECT_NEAR(shares.at("c"), 690, 6);
}

TEST(TrafficSplitTest, AnArmWithoutWeightGetsNothing) {
  const auto arms = Arms({{"a", 0}, {"b", 1}});
  EXPECT_THAT(OrderArms(arms, 1), ElementsAre(1));
  EXPECT_THAT(OrderArms(Arms({{"a", 0}}), 1), IsEmpty());
  EXPECT_THAT(OrderArms({}, 1), IsEmpty());
}

TEST(TrafficSplitTest, AChangeOfAWeightMovesOnlyToOrFromItsArm) {
  const auto before = Arms({{"a", 50}, {"b", 45}, {"c", 5}});
  const auto after = Arms({{"c", 20}, {"a", 50}, {"b", 45}});  // in any order
  int moved = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string key = fmt::format("user-{}", i);
    const std::string was = FirstArm(before, key);
    const std::string is = FirstArm(after, key);
    if (was == is) continue;
    EXPECT_EQ(is, "c") << key << " moved from " << was;
    ++moved;
  }
  EXPECT_NEAR(moved, 10'000 * (20.0 / 115 - 5.0 / 100), 150);
}

TEST(TrafficSplitTest, TheNextArmFollowsTheWeightsToo) {
  const auto arms = Arms({{"a", 50}, {"b", 30}, {"c", 10}});
  std::map<uint32_t, int> next;
  int of_a = 0;
  for (int i = 0; i < 20'000; ++i) {
    const ArmOrder order = OrderArms(arms, PositionOf("m", fmt::format("user-{}", i)));
    ASSERT_EQ(order.size(), 3u);
    if (order[0] != 0) continue;
    ++of_a;
    ++next[order[1]];
  }
  EXPECT_NEAR(next[1], of_a * 0.75, of_a * 0.03);
  EXPECT_NEAR(next[2], of_a * 0.25, of_a * 0.03);
}

TEST(TrafficSplitTest, ModelsDivideTheSameKeysInDifferentWays) {
  const auto arms = Arms({{"a", 1}, {"b", 1}});
  int same = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string key = fmt::format("user-{}", i);
    same += OrderArms(arms, PositionOf("m", key))[0] == OrderArms(arms, PositionOf("n", key))[0];
  }
  EXPECT_NEAR(same, 5000, 200);
}

TEST(TrafficSplitTest, RandomPositionsAreEven) {
  int among = 0;
  int first = 0;
  const auto arms = Arms({{"a", 3}, {"b", 1}});
  for (int i = 0; i < 100'000; ++i) {
    among += IsAmong(0.1, RandomPosition());
    first += OrderArms(arms, RandomPosition())[0] == 0;
  }
  EXPECT_NEAR(among, 10'000, 400);
  EXPECT_NEAR(first, 75'000, 600);
  EXPECT_TRUE(IsAmong(1, ~uint64_t{0}));
  EXPECT_FALSE(IsAmong(0, 0));
}

}  // namespace
}  // namespace penstock
