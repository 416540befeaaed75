// SPDX-License-Identifier: Apache-2.0
#include "base/persistent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace penstock {
namespace {

TEST(PersistentMapTest, AnEmptyMapFindsNothing) {
  PersistentMap<int> map;
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.find("a"), map.end());
  map.erase("a");
  EXPECT_EQ(map.size(), 0u);
}

TEST(PersistentMapTest, ACopyDoesNotChangeWithTheOriginal) {
  PersistentMap<int> map;
  for (int i = 0; i < 100; ++i) map.insert_or_assign("k" + std::to_string(i), i);
  const PersistentMap<int> before = map;
  map.insert_or_assign("k7", -1);
  map.erase("k8");
  map.insert_or_assign("new", 1);
  EXPECT_EQ(before.find("k7")->second, 7);
  EXPECT_EQ(before.find("k8")->second, 8);
  EXPECT_FALSE(before.contains("new"));
  EXPECT_EQ(before.size(), 100u);
  EXPECT_EQ(map.find("k7")->second, -1);
  EXPECT_FALSE(map.contains("k8"));
  EXPECT_EQ(map.find("new")->second, 1);
  EXPECT_EQ(map.size(), 100u);
  EXPECT_EQ(map.find("k9"), before.find("k9"));  // the same entry, not a copy of it
}

TEST(PersistentMapTest, BehavesAsAnOrdinaryMap) {
  PersistentMap<int> map;
  std::map<std::string, int> expected;
  std::mt19937 random(1);  // NOLINT: the same steps each time
  for (int step = 0; step < 20'000; ++step) {
    const std::string key = std::to_string(random() % 3000);
    if (random() % 3 == 0) {
      map.erase(key);
      expected.erase(key);
    } else {
      map.insert_or_assign(key, step);
      expected[key] = step;
    }
    ASSERT_EQ(map.size(), expected.size());
  }
  for (int i = 0; i < 3000; ++i) {
    const std::string key = std::to_string(i);
    const auto found = expected.find(key);
    ASSERT_EQ(map.contains(key), found != expected.end()) << key;
    if (found != expected.end()) {
      ASSERT_EQ(map.find(key)->second, found->second) << key;
    }
  }
  for (const auto& [key, value] : expected) map.erase(key);
  EXPECT_TRUE(map.empty());
}

}  // namespace
}  // namespace penstock
