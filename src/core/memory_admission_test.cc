// SPDX-License-Identifier: Apache-2.0
#include "core/memory_admission.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace penstock::core {
namespace {

using Decisions = std::vector<std::string>;

// One step of a history. Loads are named by the model whose version they load.
struct MemoryStep {
  enum class Kind {
    kArrive,     // a load that needs `bytes` arrives
    kLoaded,     // a running load ends; its version takes `bytes`
    kFailed,     // a running load ends with an error
    kHung,       // a running load hangs
    kUnload,     // the unload of a version begins
    kUnloaded,   // that unload ends
    kCancel,     // a load is not wanted any more
    kEvictable,  // evicting the model would free `bytes`
    kLacking,    // a version of the model failed for lack of `bytes`
  };
  Kind kind;
  std::string model;
  uint64_t bytes = 0;
};

struct MemoryCase {
  std::string name;
  std::vector<MemoryStep> steps;
  // What the admission decides after the last step: "begin m", "wait m", "resume m" (it does not
  // wait any more), "fail m", "cancel m", "evict m", "retry m with BYTES".
  Decisions expected;
};

// Performs the steps and the decisions, as the manager does, with a limit of 100 bytes. One thread.
class MemoryAdmissionTest : public ::testing::TestWithParam<MemoryCase> {
 protected:
  Decisions Do(const MemoryStep& step) {
    Decisions decisions;
    switch (step.kind) {
      case MemoryStep::Kind::kArrive: {
        auto job = std::make_shared<LoadJob>();
        job->id = {step.model, {1}};
        job->number = ++last_number_;
        job->estimate = {.ram_bytes = step.bytes};
        jobs_[step.model] = job;
        if (memory_.Admit(job)) decisions.push_back("begin " + step.model);
        break;
      }
      case MemoryStep::Kind::kLoaded:
        memory_.EndLoad(*jobs_.at(step.model), step.bytes, /*is_measured=*/false);
        break;
      case MemoryStep::Kind::kFailed:
        memory_.EndLoad(*jobs_.at(step.model), 0, /*is_measured=*/false);
        break;
      case MemoryStep::Kind::kHung:
        memory_.NoteHung(*jobs_.at(step.model));
        jobs_.at(step.model)->is_hung = true;
        break;
      case MemoryStep::Kind::kUnload:
        memory_.BeginUnload(jobs_.at(step.model)->number);
        break;
      case MemoryStep::Kind::kUnloaded:
        memory_.EndUnload(jobs_.at(step.model)->number);
        break;
      case MemoryStep::Kind::kCancel:
        jobs_.at(step.model)->is_cancelled = true;
        memory_.RequestReviewOfWaiting();
        break;
      case MemoryStep::Kind::kEvictable:
        memory_.SetEvictable(step.model, step.bytes);
        memory_.RequestReview();
        break;
      case MemoryStep::Kind::kLacking:
        memory_.SetLacking(step.model, step.bytes);
        memory_.RequestReview();
        break;
    }
    while (memory_.TakeReviewRequest()) Review(decisions);
    return decisions;
  }

  void Review(Decisions& decisions) {
    const auto in_order_of_name = [this] {
      Decisions models;
      for (const auto& [model, bytes] : memory_.evictable()) models.push_back(model);
      return models;
    };
    for (const MemoryAdmission::Action& action : memory_.ReviewWaiting(in_order_of_name)) {
      switch (action.kind) {
        case MemoryAdmission::Action::Kind::kBegin:
          decisions.push_back("begin " + action.job->id.name);
          break;
        case MemoryAdmission::Action::Kind::kReport:
          decisions.push_back((action.status.ok() ? "resume " : "wait ") + action.job->id.name);
          break;
        case MemoryAdmission::Action::Kind::kFail:
          decisions.push_back((action.needed_bytes > 0 ? "fail " : "cancel ") +
                              action.job->id.name);
          break;
        case MemoryAdmission::Action::Kind::kEvict:
          decisions.push_back("evict " + action.model);
          memory_.BeginUnload(jobs_.at(action.model)->number);
          break;
      }
    }
    memory_.RetryLacking([&](const std::string& model, uint64_t headroom) {
      decisions.push_back(fmt::format("retry {} with {}", model, headroom));
      return headroom;
    });
  }

  MemoryAdmission memory_{100};
  std::map<std::string, std::shared_ptr<LoadJob>> jobs_;
  uint64_t last_number_ = 0;
};

using enum MemoryStep::Kind;

const MemoryCase kMemoryCases[] = {
    {"LoadBelowTheLimitBegins", {{kArrive, "a", 100}}, {"begin a"}},
    {"LoadOverTheLimitFails", {{kArrive, "a", 101}}, {"fail a"}},
    {"LoadWaitsForARunningLoad", {{kArrive, "a", 70}, {kArrive, "b", 40}}, {"wait b"}},
    {"LoadBeginsWhenARunningLoadFails",
     {{kArrive, "a", 70}, {kArrive, "b", 40}, {kFailed, "a"}},
     {"resume b", "begin b"}},
    {"LoadBeginsWhenARunningLoadTakesLessThanEstimated",
     {{kArrive, "a", 70}, {kArrive, "b", 40}, {kLoaded, "a", 60}},
     {"resume b", "begin b"}},
    {"LoadFailsWhenARunningLoadTakesAllItReserved",
     {{kArrive, "a", 70}, {kArrive, "b", 40}, {kLoaded, "a", 70}},
     {"fail b"}},
    {"LoadFailsWhenTheRunningLoadHangs",
     {{kArrive, "a", 70}, {kArrive, "b", 40}, {kHung, "a"}},
     {"fail b"}},
    {"CancelledLoadEndsItsWait",
     {{kArrive, "a", 70}, {kArrive, "b", 40}, {kCancel, "b"}},
     {"cancel b"}},
    {"LoadWaitsForAnUnload",
     {{kArrive, "a", 70}, {kLoaded, "a", 70}, {kUnload, "a"}, {kArrive, "b", 40}},
     {"wait b"}},
    {"LoadBeginsWhenTheUnloadEnds",
     {{kArrive, "a", 70}, {kLoaded, "a", 70}, {kUnload, "a"}, {kArrive, "b", 40}, {kUnloaded, "a"}},
     {"resume b", "begin b"}},
    {"LoadEvictsTheFirstModelsThatFreeEnough",
     {{kArrive, "a", 30},
      {kLoaded, "a", 30},
      {kEvictable, "a", 30},
      {kArrive, "b", 30},
      {kLoaded, "b", 30},
      {kEvictable, "b", 30},
      {kArrive, "c", 30},
      {kLoaded, "c", 30},
      {kEvictable, "c", 30},
      {kArrive, "d", 60}},
     {"evict a", "evict b", "wait d"}},
    {"LoadDoesNotEvictItsOwnModel",
     {{kArrive, "a", 70}, {kLoaded, "a", 70}, {kEvictable, "a", 70}, {kArrive, "a", 40}},
     {"fail a"}},
    {"LaterSmallLoadDoesNotTakeMemoryThatIsReservedInAdvance",
     {{kArrive, "a", 70},
      {kLoaded, "a", 70},
      {kUnload, "a"},
      {kArrive, "b", 100},
      {kArrive, "c", 10}},
     {"wait c"}},
    {"LaterSmallLoadOvertakesALoadThatMayNeverFit",
     {{kArrive, "a", 70}, {kArrive, "b", 40}, {kArrive, "c", 10}},
     {"begin c"}},
    {"ModelThatLacksMemoryIsRetriedWhenThereIsHeadroom",
     {{kArrive, "a", 70},
      {kLoaded, "a", 70},
      {kLacking, "b", 40},
      {kUnload, "a"},
      {kUnloaded, "a"}},
     {"retry b with 100"}},
    {"ModelThatLacksMemoryIsNotRetriedWithoutHeadroom",
     {{kArrive, "a", 70}, {kLoaded, "a", 70}, {kLacking, "b", 40}},
     {}},
    {"RetriedModelDoesNotCountOnEvictingItself",
     {{kArrive, "a", 70}, {kLoaded, "a", 70}, {kLacking, "a", 40}, {kEvictable, "a", 70}},
     {"retry a with 30"}},
};

TEST_P(MemoryAdmissionTest, DecidesAfterTheLastStep) {
  Decisions decisions;
  for (const MemoryStep& step : GetParam().steps) decisions = Do(step);
  EXPECT_EQ(decisions, GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(Histories, MemoryAdmissionTest, ::testing::ValuesIn(kMemoryCases),
                         [](const auto& param_info) { return param_info.param.name; });

TEST_F(MemoryAdmissionTest, LoadIsNotOvertakenForEver) {
  Do({kArrive, "slow", 70});
  ASSERT_EQ(Do({kArrive, "big", 40}), Decisions{"wait big"});
  for (int i = 0; i < MemoryAdmission::kOvertakenMax; ++i) {
    const std::string small = fmt::format("small{}", i);
    ASSERT_EQ(Do({kArrive, small, 10}), Decisions{"begin " + small});
    Do({kFailed, small});
  }
  EXPECT_EQ(Do({kArrive, "late", 10}), Decisions{"wait late"});
}

TEST_F(MemoryAdmissionTest, WithoutALimitEveryLoadBegins) {
  MemoryAdmission memory(0);
  auto job = std::make_shared<LoadJob>();
  job->estimate = {.ram_bytes = UINT64_MAX / 2, .load_extra_bytes = UINT64_MAX / 2};
  EXPECT_TRUE(memory.Admit(job));
  memory.RequestReview();
  EXPECT_FALSE(memory.TakeReviewRequest());
}

TEST_F(MemoryAdmissionTest, ReservationGoesFromTheLoadToTheVersionAndEndsWithTheUnload) {
  Do({kArrive, "a", 70});
  EXPECT_EQ(memory_.reserved(), 70U);
  memory_.EndLoad(*jobs_.at("a"), 50, /*is_measured=*/true);
  EXPECT_EQ(memory_.ReservedBy(1), 50U);
  EXPECT_TRUE(memory_.IsMeasured(1));
  Do({kUnload, "a"});
  EXPECT_EQ(memory_.reserved(), 50U);
  Do({kUnloaded, "a"});
  EXPECT_EQ(memory_.reserved(), 0U);
}

}  // namespace
}  // namespace penstock::core
