// SPDX-License-Identifier: Apache-2.0
#include "core/model_versions.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/loader_fake.h"

namespace penstock::core {
namespace {

using std::chrono::seconds;
using EventLines = std::vector<std::string>;

// Version 1 of a model, with at most one retry. The steps have the names of the functions; each
// returns the published states since the last step, as "STATE CODE". One thread.
class ModelVersionsTest : public ::testing::Test {
 public:
  EventLines Events() {
    EventLines lines;
    for (const ManagerEvent& event : std::exchange(events_, {})) {
      const VersionStatus& version = *event.version;
      lines.push_back(fmt::format("{} {}", VersionStateName(version.state),
                                  StatusCodeName(version.status.code())));
    }
    return lines;
  }
  EventLines Aspire(VersionRole role = VersionRole::kMain, uint64_t revision = 0) {
    std::vector<AspiredVersion> list = core::Aspire(FakeVersion(1, plan_));
    list[0].role = role;
    list[0].revision = revision;
    versions_.SetAspired(std::move(list));
    return Events();
  }
  EventLines Unaspire() {
    versions_.SetAspired({});
    return Events();
  }
  EventLines StartLoad() {
    job_ = versions_.StartLoad(one_, ++loads_);
    return Events();
  }
  EventLines FinishLoad() {
    auto entry = std::make_unique<VersionEntry>(job_->id, std::make_unique<FakeServable>(plan_));
    versions_.FinishLoad(*job_, std::move(entry), now_);
    return Events();
  }
  EventLines FailLoad(uint64_t needed_bytes = 0) {
    failures_ = versions_.FailLoad(*job_, absl::DataLossError("broken"), needed_bytes);
    return Events();
  }
  EventLines StartUnload() {
    versions_.StartUnload(one_);
    return Events();
  }
  EventLines FinishUnload() {
    failures_ = versions_.FinishUnload(one_);
    return Events();
  }
  // The version reports itself broken, `served` after its load.
  EventLines Break(Duration served) {
    const auto entry = versions_.StartRetire(one_, loads_, absl::InternalError("GPU fell off"),
                                             now_ + served, /*stable_time=*/seconds(60));
    EXPECT_NE(entry, nullptr);
    return Events();
  }
  void Load() {
    StartLoad();
    FinishLoad();
  }
  // The next action of the policy: "load 1", "unload 1" or "".
  std::string Next() const {
    const auto action = versions_.NextAction(AvailabilityPreservingPolicy(), {});
    if (!action) return "";
    return fmt::format("{} {}", action->kind == VersionAction::Kind::kLoad ? "load" : "unload",
                       action->version.value);
  }

  const VersionNumber one_{1};
  const SteadyTime now_{std::chrono::hours(1)};
  std::shared_ptr<FakePlan> plan_ = std::make_shared<FakePlan>();
  std::vector<ManagerEvent> events_;
  ModelVersions versions_{"m", events_, /*retries_max=*/1};
  std::shared_ptr<LoadJob> job_;
  uint64_t loads_ = 0;
  int failures_ = 0;
};

TEST_F(ModelVersionsTest, VersionGoesThroughAllStates) {
  EXPECT_EQ(Aspire(), EventLines{"START OK"});
  EXPECT_EQ(Next(), "load 1");
  EXPECT_EQ(StartLoad(), EventLines{"LOADING OK"});
  EXPECT_TRUE(versions_.IsBusy() && versions_.IsAnyLoading() && versions_.IsComing(one_));
  EXPECT_EQ(FinishLoad(), EventLines{"AVAILABLE OK"});
  EXPECT_TRUE(versions_.IsReady(one_));
  EXPECT_EQ(versions_.ReadyLoads(), std::vector<uint64_t>{1});
  EXPECT_EQ(Next(), "");
  EXPECT_EQ(Unaspire(), EventLines{});
  EXPECT_EQ(Next(), "unload 1");
  EXPECT_EQ(StartUnload(), EventLines{"UNLOADING OK"});
  EXPECT_TRUE(versions_.IsBusy());
  EXPECT_EQ(FinishUnload(), EventLines{"END OK"});
  EXPECT_EQ(failures_, 0);
  EXPECT_EQ(Next(), "");
  EXPECT_FALSE(versions_.IsBusy());
}

TEST_F(ModelVersionsTest, FailedLoadIsRetriedUntilNoRetryIsLeft) {
  Aspire();
  StartLoad();
  EXPECT_EQ(FailLoad(), EventLines{"START DATA_LOSS"});
  EXPECT_EQ(failures_, 1);
  EXPECT_EQ(Next(), "");  // until the retry is due
  versions_.Retry(one_, /*failures=*/7);
  EXPECT_EQ(Next(), "");  // the retry was for another failure
  versions_.Retry(one_, 1);
  EXPECT_EQ(Next(), "load 1");
  StartLoad();
  EXPECT_EQ(FailLoad(), EventLines{"END DATA_LOSS"});
  EXPECT_EQ(failures_, 2);
  EXPECT_TRUE(versions_.HasFailed(one_));
  EXPECT_EQ(versions_.ErrorOf(one_), absl::DataLossError("broken"));
  versions_.BeginFailed();  // by an operator
  EXPECT_EQ(Events(), EventLines{"START OK"});
  EXPECT_EQ(Next(), "load 1");
}

// What happens when a load ends, by what happened while it ran.
TEST_F(ModelVersionsTest, EndOfALoadDependsOnWhatHappenedMeanwhile) {
  struct Case {
    std::string name;
    std::vector<std::function<void(ModelVersionsTest&)>> meanwhile;
    EventLines events;  // when the load fails
    std::string next;
    int failures;
  };
  const auto unaspire = [](ModelVersionsTest& test) { test.Unaspire(); };
  const auto aspire = [](ModelVersionsTest& test) { test.Aspire(); };
  const auto change_files = [](ModelVersionsTest& test) { test.Aspire(VersionRole::kMain, 2); };
  const auto make_reserve = [](ModelVersionsTest& test) { test.Aspire(VersionRole::kReserve); };
  const Case cases[] = {
      {"nothing", {}, {"START DATA_LOSS"}, "", 1},
      {"not aspired any more", {unaspire}, {"END DATA_LOSS"}, "", 0},
      {"aspired again", {unaspire, aspire}, {"START OK"}, "load 1", 0},
      {"files have changed", {change_files}, {"START DATA_LOSS", "START OK"}, "load 1", 0},
      {"only a reserve now", {make_reserve}, {"END DATA_LOSS"}, "", 0},
  };
  for (const Case& expected : cases) {
    versions_.SetAspired({});
    versions_.ForgetEnded(0);
    events_.clear();
    Aspire();
    StartLoad();
    for (const auto& step : expected.meanwhile) step(*this);
    EXPECT_EQ(FailLoad(), expected.events) << expected.name;
    EXPECT_EQ(Next(), expected.next) << expected.name;
    EXPECT_EQ(failures_, expected.failures) << expected.name;
  }
}

TEST_F(ModelVersionsTest, CancelledLoadThatSucceedsIsUnloadedAndNeverReady) {
  Aspire();
  StartLoad();
  Unaspire();
  EXPECT_TRUE(job_->is_cancelled);
  EXPECT_EQ(plan_->cancels, 1);
  EXPECT_FALSE(versions_.IsWanted(*job_));
  versions_.CancelLoad(*job_);
  EXPECT_EQ(Events(), EventLines{"UNLOADING CANCELLED"});
  EXPECT_EQ(FinishUnload(), EventLines{"END CANCELLED"});
}

TEST_F(ModelVersionsTest, LoadThatHangsBlocksTheNextOneUntilItEnds) {
  Aspire();
  StartLoad();
  versions_.TimeOutLoad(*job_, absl::DeadlineExceededError("slow"));
  EXPECT_EQ(Events(), EventLines{"START DEADLINE_EXCEEDED"});
  EXPECT_EQ(plan_->cancels, 1);
  versions_.BeginFailed();
  EXPECT_EQ(Next(), "");
  EXPECT_TRUE(versions_.IsBusy());
  EXPECT_EQ(versions_.EndHungLoad(*job_), 0);  // it was begun anew, so it needs no retry
  EXPECT_EQ(Next(), "load 1");
}

TEST_F(ModelVersionsTest, LoadThatHungIsRetriedWhenItHasEnded) {
  Aspire();
  StartLoad();
  versions_.TimeOutLoad(*job_, absl::DeadlineExceededError("slow"));
  EXPECT_EQ(versions_.EndHungLoad(*job_), 1);
  versions_.Retry(one_, 1);
  EXPECT_EQ(Next(), "load 1");
}

TEST_F(ModelVersionsTest, LackOfMemoryDoesNotCountAsAFailure) {
  Aspire();
  StartLoad();
  EXPECT_EQ(FailLoad(/*needed_bytes=*/70), EventLines{"END DATA_LOSS"});
  EXPECT_EQ(failures_, 0);
  EXPECT_EQ(versions_.LackedBytes(), 70U);
  EXPECT_EQ(versions_.RetryFitting(69), 0U);
  EXPECT_EQ(Next(), "");
  EXPECT_EQ(versions_.RetryFitting(70), 70U);
  EXPECT_EQ(Next(), "load 1");
  EXPECT_EQ(versions_.LackedBytes(), 0U);
}

TEST_F(ModelVersionsTest, BrokenVersionIsLoadedAgain) {
  struct Case {
    Duration served;
    EventLines end;  // when it is unloaded
    std::string next;
    int failures;
  };
  const Case cases[] = {{seconds(60), {"START INTERNAL"}, "load 1", 0},
                        {seconds(59), {"START INTERNAL"}, "", 1}};
  for (const Case& expected : cases) {
    versions_.SetAspired({});
    versions_.ForgetEnded(0);
    events_.clear();
    Aspire();
    Load();
    EXPECT_EQ(Break(expected.served), EventLines{"UNLOADING INTERNAL"});
    ASSERT_EQ(versions_.Broken().size(), 1U);
    EXPECT_TRUE(versions_.Ready().empty());
    EXPECT_EQ(FinishUnload(), expected.end);
    EXPECT_EQ(Next(), expected.next);
    EXPECT_EQ(failures_, expected.failures);
  }
}

TEST_F(ModelVersionsTest, ReportOfAnEarlierLoadBreaksNothing) {
  Aspire();
  Load();
  EXPECT_EQ(versions_.StartRetire(one_, /*load=*/99, absl::InternalError("old"), now_, seconds(1)),
            nullptr);
  EXPECT_TRUE(versions_.IsReady(one_));
}

TEST_F(ModelVersionsTest, ReserveIsPublishedWhenItsLoadBegins) {
  EXPECT_EQ(Aspire(VersionRole::kReserve), EventLines{});
  EXPECT_TRUE(versions_.Statuses().empty());
  EXPECT_EQ(StartLoad(), (EventLines{"START OK", "LOADING OK"}));
  EXPECT_EQ(FinishLoad(), EventLines{"AVAILABLE OK"});
  EXPECT_TRUE(versions_.Statuses()[0].first.is_aspired);
}

TEST_F(ModelVersionsTest, ReadyVersionsAreNewestFirstAndThoseForLabelsLast) {
  std::vector<AspiredVersion> list;
  for (const int64_t number : {1, 2, 3}) list.push_back(FakeVersion(number, plan_));
  list[2].role = VersionRole::kLabel;
  versions_.SetAspired(std::move(list));
  for (const int64_t number : {1, 2, 3}) {
    const auto job = versions_.StartLoad({number}, static_cast<uint64_t>(number));
    versions_.FinishLoad(
        *job, std::make_unique<VersionEntry>(job->id, std::make_unique<FakeServable>(plan_)), now_);
  }
  std::vector<int64_t> ready;
  for (const VersionEntry* entry : versions_.Ready()) ready.push_back(entry->id().version.value);
  EXPECT_EQ(ready, (std::vector<int64_t>{2, 1, 3}));
  EXPECT_EQ(versions_.LowestReady(), one_);
}

TEST_F(ModelVersionsTest, VersionWithoutALoaderEndsWithTheReason) {
  std::vector<AspiredVersion> list;
  list.push_back({one_, absl::NotFoundError("no backend")});
  versions_.SetAspired(std::move(list));
  EXPECT_EQ(Events(), (EventLines{"START OK", "END NOT_FOUND"}));
  EXPECT_EQ(Next(), "");
}

TEST_F(ModelVersionsTest, ActionsThatAreImpossibleAreNotReturned) {
  // Always wants the same action. Thread-safe.
  class Stubborn final : public TransitionPolicy {
   public:
    explicit Stubborn(VersionAction action) : action_(action) {}
    std::optional<VersionAction> Next(std::span<const PolicyVersion>) const override {
      return action_;
    }

   private:
    const VersionAction action_;
  };
  Aspire();
  using Kind = VersionAction::Kind;
  EXPECT_FALSE(versions_.NextAction(Stubborn({Kind::kUnload, one_}), {}));
  EXPECT_FALSE(versions_.NextAction(Stubborn({Kind::kLoad, {2}}), {}));
  EXPECT_TRUE(versions_.NextAction(Stubborn({Kind::kLoad, one_}), {}));
  StartLoad();
  EXPECT_FALSE(versions_.NextAction(Stubborn({Kind::kLoad, one_}), {}));
}

TEST_F(ModelVersionsTest, EndOfRetriesEndsFailedVersions) {
  Aspire();
  StartLoad();
  FailLoad();
  versions_.EndRetries();
  EXPECT_EQ(Events(), EventLines{"END DATA_LOSS"});
}

}  // namespace
}  // namespace penstock::core
