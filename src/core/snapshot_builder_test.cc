// SPDX-License-Identifier: Apache-2.0
#include "core/snapshot_builder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace penstock::core {
namespace {

using Kind = ReadinessRule::Kind;

std::shared_ptr<const Snapshot::Model> View(bool counts_as_ready, bool is_expected = true,
                                            bool is_of_start = true) {
  auto view = std::make_shared<Snapshot::Model>();
  view->counts_as_ready = counts_as_ready;
  view->is_expected = is_expected;
  view->is_of_start = is_of_start;
  return view;
}

TEST(SnapshotBuilderTest, ReadinessFollowsTheRule) {
  struct Case {
    std::string name;
    std::vector<std::shared_ptr<const Snapshot::Model>> models;  // "m0", "m1" ...
    bool all, every, any, named;                                 // `named`: m0 is named
  };
  const Case cases[] = {
      {"no model", {}, true, true, true, false},
      {"all ready", {View(true), View(true)}, true, true, true, true},
      {"one missing", {View(true), View(false)}, false, false, true, true},
      {"the named one missing", {View(false), View(true)}, false, false, true, false},
      {"one that is not expected", {View(true), View(false, false)}, true, true, true, true},
      {"one that came later", {View(true), View(false, true, false)}, true, false, true, true},
      {"none ready", {View(false)}, false, false, false, false},
  };
  for (const Case& expected : cases) {
    const auto is_ready = [&](Kind kind) {
      SnapshotBuilder builder({.kind = kind, .models = {"m0"}});
      builder.Set("x", View(false));
      builder.Set("x", nullptr);  // it leaves no trace in the counts
      for (size_t i = 0; i < expected.models.size(); ++i) {
        builder.Set("m" + std::to_string(i), View(i % 2 == 0));  // replaced below
        builder.Set("m" + std::to_string(i), expected.models[i]);
      }
      return builder.Build()->is_ready;
    };
    EXPECT_EQ(is_ready(Kind::kAllModels), expected.all) << expected.name;
    EXPECT_EQ(is_ready(Kind::kEveryModel), expected.every) << expected.name;
    EXPECT_EQ(is_ready(Kind::kAnyModel), expected.any) << expected.name;
    EXPECT_EQ(is_ready(Kind::kNamedModels), expected.named) << expected.name;
  }
}

TEST(SnapshotBuilderTest, BuildReturnsNullWithoutAChange) {
  SnapshotBuilder builder({});
  EXPECT_EQ(builder.Build(), nullptr);
  builder.Set("m", View(true));
  EXPECT_TRUE(builder.Build()->models.contains("m"));
  EXPECT_EQ(builder.Build(), nullptr);
}

TEST(SnapshotBuilderTest, StartIsOverOnceASnapshotWithModelsIsReady) {
  SnapshotBuilder builder({});
  builder.Set("m", View(false));
  std::ignore = builder.Build();
  EXPECT_FALSE(builder.is_start_over());
  builder.Set("m", nullptr);
  EXPECT_TRUE(builder.Build()->is_ready);
  EXPECT_FALSE(builder.is_start_over());  // there was no model
  builder.Set("m", View(true));
  std::ignore = builder.Build();
  EXPECT_TRUE(builder.is_start_over());
}

TEST(SnapshotBuilderTest, StoppedBuilderIsNeverReady) {
  SnapshotBuilder builder({});
  builder.Set("m", View(true));
  EXPECT_TRUE(builder.Build()->is_ready);
  builder.Stop();
  EXPECT_FALSE(builder.Build()->is_ready);
}

}  // namespace
}  // namespace penstock::core
