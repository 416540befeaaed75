// SPDX-License-Identifier: Apache-2.0
#include "remote/version_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::remote {
namespace {

using core::VersionNumber;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr VersionAtTarget kHere{.is_available = true};
constexpr VersionAtTarget kComing{.is_coming = true};
constexpr VersionAtTarget kLeaving{.is_available = true, .is_leaving = true};

TargetView Has(std::map<int64_t, VersionAtTarget> versions) {
  TargetView view;
  view.name = "t";
  view.has_answered = true;
  for (const auto& [number, at_target] : versions) view.versions[VersionNumber{number}] = at_target;
  return view;
}
TargetView Failing(TargetView view) {
  view.is_failing = true;
  return view;
}

// Follows one model. One thread.
class VersionViewTest : public testing::Test {
 protected:
  // The versions that are served after the targets have said this.
  std::vector<int64_t> After(const std::vector<ShardView>& shards) {
    seen_ = JoinViews(shards, min_replicas_, published_);
    published_.clear();
    for (const auto& [version, state] : seen_) {
      if (state.is_complete || state.is_left) published_.insert(version);
    }
    std::vector<int64_t> numbers;
    for (const VersionNumber each : ChooseVersions(seen_, selection_, labelled_))
      numbers.push_back(each.value);
    return numbers;
  }
  std::vector<int64_t> AfterOne(ShardView targets) { return After({std::move(targets)}); }

  int min_replicas_ = 1;
  core::VersionSelection selection_;
  std::set<VersionNumber> labelled_;
  std::set<VersionNumber> published_;
  SeenVersions seen_;
};

TEST_F(VersionViewTest, ANewVersionNeedsEnoughTargets) {
  min_replicas_ = 2;
  EXPECT_THAT(AfterOne({Has({{1, kHere}}), Has({{1, kHere}}), Has({})}), ElementsAre(1));
  EXPECT_THAT(AfterOne({Has({{1, kHere}, {2, kHere}}), Has({{1, kHere}, {2, kComing}}), Has({})}),
              ElementsAre(1));
  EXPECT_EQ(seen_[VersionNumber{2}].missing, "1 of 3 targets have it, and 2 must");
  // Who does not answer does not count.
  EXPECT_THAT(AfterOne({Has({{2, kHere}}), Failing(Has({{2, kHere}})), Has({{1, kHere}})}),
              ElementsAre(1));
  EXPECT_THAT(AfterOne({Has({{2, kHere}}), Has({{2, kHere}}), Has({{1, kHere}})}), ElementsAre(2));
}

TEST_F(VersionViewTest, AVersionStaysAsLongAsOneTargetKeepsIt) {
  min_replicas_ = 2;
  EXPECT_THAT(AfterOne({Has({{3, kHere}}), Has({{3, kHere}})}), ElementsAre(3));
  EXPECT_THAT(AfterOne({Has({{3, kComing}}), Has({})}), ElementsAre(3)) << "it starts again";
  EXPECT_THAT(AfterOne({Failing(Has({{3, kHere}})), Has({})}), ElementsAre(3));
  EXPECT_THAT(AfterOne({Has({}), Has({})}), IsEmpty());
  EXPECT_THAT(AfterOne({Has({{3, kHere}}), Has({})}), IsEmpty()) << "it is new again";
}

TEST_F(VersionViewTest, WhatAllTargetsWantToUnloadStaysUntilThereIsAnother) {
  EXPECT_THAT(AfterOne({Has({{1, kHere}})}), ElementsAre(1));
  EXPECT_THAT(AfterOne({Has({{1, kLeaving}, {2, kComing}})}), ElementsAre(1));
  EXPECT_THAT(AfterOne({Has({{1, kLeaving}, {2, kHere}})}), ElementsAre(2));
}

// The lease of the root must not keep the targets from going back.
TEST_F(VersionViewTest, ARollBackIsFollowed) {
  EXPECT_THAT(AfterOne({Has({{5, kHere}})}), ElementsAre(5));
  EXPECT_THAT(AfterOne({Has({{4, kHere}, {5, kLeaving}})}), ElementsAre(4));
}

TEST_F(VersionViewTest, EachShardNeedsEnoughTargets) {
  const ShardView both = {Has({{1, kHere}, {2, kHere}})};
  EXPECT_THAT(After({both, {Has({{1, kHere}})}}), ElementsAre(1));
  EXPECT_EQ(seen_[VersionNumber{2}].missing, "shard 1: 0 of 1 targets have it, and 1 must");
  EXPECT_THAT(After({both, {Has({{1, kHere}}), Has({{2, kHere}})}}), ElementsAre(2));
  EXPECT_THAT(After({both, {}}), IsEmpty());
}

TEST_F(VersionViewTest, TheConfigurationSelects) {
  selection_ = core::SpecificVersions{{VersionNumber{1}, VersionNumber{2}}};
  EXPECT_THAT(AfterOne({Has({{1, kHere}, {2, kHere}, {3, kHere}})}), ElementsAre(1, 2));
  selection_ = core::LatestVersions{};
  labelled_ = {VersionNumber{1}, VersionNumber{9}};
  EXPECT_THAT(AfterOne({Has({{1, kHere}, {2, kHere}, {3, kHere}})}), ElementsAre(1, 3));
}

}  // namespace
}  // namespace penstock::remote
