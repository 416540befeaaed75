// SPDX-License-Identifier: Apache-2.0
#include "core/model_record.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "core/model_record_fake.h"

namespace penstock::core {
namespace {

// A model with versions 1 and 2 aspired. One thread.
class ModelRecordTest : public ::testing::Test {
 protected:
  ModelRecordTest() {
    model_.has_report = true;
    model_.versions.SetAspired(Aspire(FakeVersion(1, plan_), FakeVersion(2, plan_)));
  }
  void Load(int64_t version) { LoadFakeVersion(model_, version, plan_); }

  std::shared_ptr<FakePlan> plan_ = std::make_shared<FakePlan>();
  std::vector<ManagerEvent> events_;
  ModelRecord model_{"m", events_, /*retries_max=*/0};
};

TEST_F(ModelRecordTest, ReportAppliesOrAnswersByItsGeneration) {
  struct Case {
    uint64_t generation;
    bool is_accepted;
    bool is_answer;
  };
  model_.config.generation = 9;
  model_.config.same_since = 3;
  const Case cases[] = {{0, true, true},  {2, false, false}, {3, true, false},
                        {8, true, false}, {9, true, true},   {10, true, true}};
  for (const Case& expected : cases) {
    EXPECT_EQ(model_.Accepts(expected.generation), expected.is_accepted) << expected.generation;
    EXPECT_EQ(model_.IsAnswer(expected.generation), expected.is_answer) << expected.generation;
  }
  model_.config.same_since = 0;
  EXPECT_FALSE(model_.Accepts(8));
}

TEST_F(ModelRecordTest, LoadModeDecidesWhatIsLoadedAndEvicted) {
  struct Case {
    LoadMode mode;
    bool is_demanded;
    bool keep_loaded;
    bool shall_be_loaded;
    bool is_evictable;
  };
  const Case cases[] = {
      {LoadMode::kAlways, false, false, true, false},
      {LoadMode::kOnDemand, false, false, false, true},
      {LoadMode::kOnDemand, true, false, true, true},
      {LoadMode::kOnDemand, true, true, true, false},
      {LoadMode::kNever, false, false, false, false},
  };
  for (const Case& expected : cases) {
    model_.config.load_mode = expected.mode;
    model_.config.keep_loaded = expected.keep_loaded;
    model_.is_demanded = expected.is_demanded;
    EXPECT_EQ(model_.ShallBeLoaded(), expected.shall_be_loaded);
    EXPECT_EQ(model_.IsEvictable(), expected.is_evictable);
    EXPECT_EQ(model_.AbsentByMode().ok(), expected.mode == LoadMode::kAlways);
  }
}

TEST_F(ModelRecordTest, LabelMovesWhenItsVersionIsReady) {
  model_.config.labels = {{"stable", {1}}};
  Load(1);
  model_.MoveLabels();
  EXPECT_EQ(model_.VersionFor("stable", std::nullopt), VersionNumber{1});
  EXPECT_EQ(model_.VersionFor("", VersionNumber{7}), VersionNumber{7});
  model_.config.labels = {{"stable", {2}}};
  model_.MoveLabels();
  LabelState stable = model_.LabelStates().at("stable");
  EXPECT_EQ(stable.in_force, VersionNumber{1});
  EXPECT_EQ(stable.wanted, VersionNumber{2});
  EXPECT_TRUE(stable.is_coming && stable.is_ready);
  EXPECT_EQ(model_.Held(), std::set<VersionNumber>{{1}});
  model_.config.policy = &ResourcePreservingPolicy();
  EXPECT_TRUE(model_.Held().empty());
  Load(2);
  model_.MoveLabels();
  EXPECT_EQ(model_.LabelStates().at("stable").in_force, VersionNumber{2});
  model_.config.labels = {};
  model_.MoveLabels();
  EXPECT_TRUE(model_.LabelStates().empty());
}

TEST_F(ModelRecordTest, TheVersionOfALabelIsHeldWhileTheWantedOneIsNotComplete) {
  Load(1);
  model_.config.labels = {{"stable", {1}}};
  model_.MoveLabels();
  EXPECT_TRUE(model_.Held().empty());
  model_.config.labels = {{"stable", {9}}};  // not complete, so the source does not list it
  model_.incomplete = {{{9}, "it has no files"}};
  model_.versions.SetAspired(Aspire(FakeVersion(2, plan_)));
  model_.MoveLabels();
  EXPECT_EQ(model_.Held(), std::set<VersionNumber>{{1}});
  EXPECT_EQ(model_.VersionFor("stable", std::nullopt), VersionNumber{1});
  EXPECT_TRUE(model_.LabelStates().at("stable").is_coming);
}

// The change of the label has been taken back, and the source still lists the versions of the
// change.
TEST_F(ModelRecordTest, TheVersionOfALabelIsHeldUntilTheSourceAnswers) {
  Load(1);
  model_.config.labels = {{"stable", {1}}};
  model_.MoveLabels();
  model_.versions.SetAspired(Aspire(FakeVersion(2, plan_)));
  model_.has_report = false;
  EXPECT_EQ(model_.Held(), std::set<VersionNumber>{{1}});
  model_.has_report = true;
  EXPECT_TRUE(model_.Held().empty());
  model_.source_status = absl::UnavailableError("the folder cannot be read");
  EXPECT_EQ(model_.Held(), std::set<VersionNumber>{{1}});
}

TEST_F(ModelRecordTest, WhatServedIsHeldWhileNoSelectedVersionIsComplete) {
  Load(2);
  AspiredVersion labelled = FakeVersion(1, plan_);
  labelled.role = VersionRole::kLabel;
  model_.versions.SetAspired(Aspire(std::move(labelled)));
  Load(1);
  model_.incomplete = {{{9}, "it has no files"}};
  EXPECT_EQ(model_.Held(), std::set<VersionNumber>{{2}});
  model_.incomplete = {};
  EXPECT_TRUE(model_.Held().empty());
  model_.has_report = false;
  EXPECT_EQ(model_.Held(), std::set<VersionNumber>{{2}});
}

TEST_F(ModelRecordTest, FirstLoadIsOverForAVersionWhenItsModelHasServed) {
  EXPECT_TRUE(model_.IsInFirstLoad(std::nullopt));
  EXPECT_TRUE(model_.IsInFirstLoad(VersionNumber{7}));
  model_.has_served = true;
  EXPECT_FALSE(model_.IsInFirstLoad(std::nullopt));
  EXPECT_TRUE(model_.IsInFirstLoad(VersionNumber{1}));  // still to come
  EXPECT_FALSE(model_.IsInFirstLoad(VersionNumber{7}));
  model_.is_first_load_over = true;
  EXPECT_FALSE(model_.IsInFirstLoad(VersionNumber{1}));
}

TEST_F(ModelRecordTest, ViewShowsWhatRequestsFind) {
  model_.config.load_mode = LoadMode::kOnDemand;
  auto view = model_.MakeView();
  EXPECT_TRUE(view->on_demand && view->counts_as_ready && view->is_expected);
  EXPECT_FALSE(view->absent.ok());
  model_.config.load_mode = LoadMode::kNever;
  view = model_.MakeView();
  EXPECT_FALSE(view->is_expected || view->counts_as_ready);
  model_.config.load_mode = LoadMode::kAlways;
  Load(1);
  view = model_.MakeView();
  EXPECT_TRUE(view->counts_as_ready);
  EXPECT_EQ(view->ready.size(), 1U);
  EXPECT_TRUE(view->absent.ok());
}

}  // namespace
}  // namespace penstock::core
