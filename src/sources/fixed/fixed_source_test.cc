// SPDX-License-Identifier: Apache-2.0
#include "sources/fixed/fixed_source.h"

#include <gtest/gtest.h>

#include <memory>

#include "core/loader_fake.h"
#include "core/manager.h"

namespace penstock {
namespace {

FixedVersion Version(const std::string& model, int64_t version) {
  return {{model, {version}},
          [] { return std::make_unique<core::FakeLoader>(std::make_shared<core::FakePlan>()); }};
}

TEST(FixedSourceTest, TellsItsListAndChangesOfIt) {
  core::Manager manager;
  ASSERT_TRUE(manager.SetModels({{.name = "a"}, {.name = "b"}}).ok());
  FixedSource source({Version("a", 1), Version("b", 1), Version("b", 2)});
  source.Start(manager);
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.GetHandle("a").ok());
  EXPECT_TRUE(manager.GetHandle("b", core::VersionNumber{1}).ok());
  EXPECT_TRUE(manager.GetHandle("b", core::VersionNumber{2}).ok());
  source.SetVersions({Version("b", 2)});
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_FALSE(manager.GetHandle("a").ok());
  EXPECT_FALSE(manager.GetHandle("b", core::VersionNumber{1}).ok());
  EXPECT_TRUE(manager.GetHandle("b").ok());
  source.Stop();
  source.SetVersions({});
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.GetHandle("b").ok());
}

}  // namespace
}  // namespace penstock
