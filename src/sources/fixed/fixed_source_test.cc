// SPDX-License-Identifier: Apache-2.0
#include "sources/fixed/fixed_source.h"

#include <gtest/gtest.h>

#include "core/loader_fake.h"
#include "core/manager.h"

namespace penstock {
namespace {

core::SourceModel Model(const std::string& name) { return {name, "fixed:" + name, {}, 0, {}}; }

TEST(FixedSourceTest, ReportsItsListAndChangesOfIt) {
  core::Manager manager;
  ASSERT_TRUE(manager.SetModels({{.name = "a"}, {.name = "b"}}).ok());
  FixedSource source(
      "a fixed model", [](std::string_view path) { return path.starts_with("fixed:"); },
      [](const core::ServableId& id,
         const std::string& path) -> StatusOr<std::unique_ptr<core::Loader>> {
        EXPECT_EQ(path, "fixed:" + id.name);
        return std::make_unique<core::FakeLoader>(std::make_shared<core::FakePlan>());
      });
  EXPECT_TRUE(source.Matches("fixed:a"));
  EXPECT_FALSE(source.Matches("/a"));
  ASSERT_TRUE(source.SetModels({Model("a"), Model("b")}).ok());
  source.Start(manager);
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.GetHandle("a").ok());
  EXPECT_TRUE(manager.GetHandle("b", core::VersionNumber{1}).ok());
  EXPECT_EQ(source.HasVersion("b", "fixed:b", {1}), true);
  EXPECT_EQ(source.HasVersion("b", "fixed:b", {2}), false);
  ASSERT_TRUE(source.SetModels({Model("b")}).ok());
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_FALSE(manager.GetHandle("a").ok());
  EXPECT_TRUE(manager.GetHandle("b").ok());
  source.Stop();
  ASSERT_TRUE(source.SetModels({}).ok());
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.GetHandle("b").ok());
}

}  // namespace
}  // namespace penstock
