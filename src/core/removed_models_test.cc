// SPDX-License-Identifier: Apache-2.0
#include "core/removed_models.h"

#include <gtest/gtest.h>

namespace penstock::core {
namespace {

using std::chrono::seconds;

std::vector<VersionStatus> Versions() {
  std::vector<VersionStatus> versions(1);
  versions[0].id = {"m", {1}};
  return versions;
}

TEST(RemovedModelsTest, ModelIsListedForATime) {
  RemovedModels removed(2, seconds(10));
  const SteadyTime now(seconds(100));
  removed.Add("m", Versions(), now);
  EXPECT_EQ(removed.Find("m", now + seconds(9)).size(), 1U);
  EXPECT_TRUE(removed.Find("m", now + seconds(10)).empty());
  EXPECT_TRUE(removed.Find("unknown", now).empty());
}

TEST(RemovedModelsTest, FullListDropsTheModelThatWasRemovedFirst) {
  RemovedModels removed(2, seconds(10));
  const SteadyTime now(seconds(100));
  removed.Add("b", Versions(), now);
  removed.Add("a", Versions(), now + seconds(1));
  removed.Add("c", Versions(), now + seconds(2));
  EXPECT_TRUE(removed.Find("b", now + seconds(2)).empty());
  EXPECT_EQ(removed.Find("a", now + seconds(2)).size(), 1U);
  EXPECT_EQ(removed.Find("c", now + seconds(2)).size(), 1U);
}

TEST(RemovedModelsTest, ModelThatIsBackOrHadNoVersionIsNotListed) {
  RemovedModels removed(2, seconds(10));
  const SteadyTime now(seconds(100));
  removed.Add("empty", {}, now);
  removed.Add("m", Versions(), now);
  removed.Erase("m");
  EXPECT_TRUE(removed.Find("m", now).empty());
  EXPECT_TRUE(removed.Find("empty", now).empty());
}

}  // namespace
}  // namespace penstock::core
