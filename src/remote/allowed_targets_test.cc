// SPDX-License-Identifier: Apache-2.0
#include "remote/allowed_targets.h"

#include <gtest/gtest.h>

namespace penstock::remote {
namespace {

bool Allows(std::string_view patterns, std::string_view target) {
  return AllowedTargets(patterns).Check(*ParseRemoteTarget(target)).ok();
}

TEST(AllowedTargetsTest, AllowWhatFitsAPattern) {
  EXPECT_TRUE(Allows("a:1", "a:1"));
  EXPECT_TRUE(Allows("a:1, B:2", "b:2"));
  EXPECT_TRUE(Allows("*", "a:1"));
  EXPECT_TRUE(Allows("*.models.svc:8500", "x.models.svc:8500"));
  EXPECT_TRUE(Allows("emb-*.models:*", "emb-3.models:8500"));
  EXPECT_TRUE(Allows("[::1]:*", "[::1]:8500"));
}

TEST(AllowedTargetsTest, AllowNothingElse) {
  EXPECT_FALSE(Allows("", "a:1"));
  EXPECT_FALSE(Allows(",", "a:1"));
  EXPECT_FALSE(Allows("a:1", "a:11"));
  EXPECT_FALSE(Allows("a:1", "aa:1"));
  EXPECT_FALSE(Allows("*.models.svc:8500", "models.svc:8500"));
  EXPECT_FALSE(Allows("*.models.svc:8500", "x.models.svc.evil:8500"));
  const Status status = AllowedTargets("a:1").Check(*ParseRemoteTarget("b:1"));
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied);
  EXPECT_NE(status.message().find("--remote_targets"), std::string::npos);
}

}  // namespace
}  // namespace penstock::remote
