// SPDX-License-Identifier: Apache-2.0
#include "infer/readiness.h"

#include <gtest/gtest.h>

#include <atomic>

#include "infer/model_fake.h"

namespace penstock {
namespace {

TEST(ReadinessTest, FollowsTheManagerUntilDraining) {
  MetricsRegistry metrics;
  core::Manager manager;
  Readiness readiness(manager);
  std::atomic<int> calls{0};
  const int id = readiness.AddListener([&] { ++calls; });
  EXPECT_TRUE(readiness.IsServerReady());  // nothing is configured
  EXPECT_EQ(readiness.IsModelReady("m"), std::nullopt);
  ASSERT_TRUE(manager.SetModel({.name = "m"}).ok());
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(readiness.IsServerReady());
  EXPECT_EQ(readiness.IsModelReady("m"), false);
  ASSERT_TRUE(ServeFakeModel(manager, metrics, "m", [] {
                return std::make_unique<FakeModel>(FakeInfoOfAny(), nullptr);
              }).ok());
  EXPECT_GT(calls, 2);
  EXPECT_TRUE(readiness.IsServerReady());
  EXPECT_EQ(readiness.IsModelReady("m"), true);
  const int before = calls;
  readiness.StartDraining();
  readiness.StartDraining();
  EXPECT_EQ(calls, before + 1);
  EXPECT_TRUE(readiness.IsDraining());
  EXPECT_FALSE(readiness.IsServerReady());
  EXPECT_EQ(readiness.IsModelReady("m"), false);
  readiness.RemoveListener(id);
  ASSERT_TRUE(manager.RemoveModel("m").ok());
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(calls, before + 1);
}

}  // namespace
}  // namespace penstock
