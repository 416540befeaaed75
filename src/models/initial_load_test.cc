// SPDX-License-Identifier: Apache-2.0
#include "models/initial_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "core/manager_fixture.h"

namespace penstock {
namespace {

using core::Aspire;
using core::FakeVersion;
using core::NewPlan;
using testing::HasSubstr;

// The models "a" and "b", which no source has reported. One thread.
class InitialLoadTest : public testing::Test {
 protected:
  InitialLoadTest() {
    EXPECT_EQ(manager_.SetModels({{.name = "a"}, {.name = "b"}}), OkStatus());
    load_.Start({"a", "b"});
  }
  ~InitialLoadTest() override { load_.Stop(); }

  // Has version 1 loaded, after so many failures.
  void Load(const std::string& model, int failures = 0) {
    auto plan = NewPlan();
    plan->failures_left = failures;
    manager_.SetAspired(model, Aspire(FakeVersion(++version_, std::move(plan))));
    // Retries are not waited for by WaitUntilIdle.
    ASSERT_TRUE(manager_.WaitFor([&] {
      const auto versions = manager_.VersionStatuses(model);
      return !versions.empty() && versions.front().id.version.value == version_ &&
             (versions.front().state == core::VersionState::kAvailable ||
              versions.front().state == core::VersionState::kEnd);
    }));
    ASSERT_TRUE(manager_.WaitUntilIdle());
  }

  static constexpr int kAlwaysFails = 1000;
  core::Manager manager_{core::FastRetries(2)};
  std::atomic<int> ends_ = 0;
  Status outcome_;
  InitialLoad load_{manager_, [this](const Status& status) {
                      outcome_ = status;
                      ++ends_;
                    }};
  int64_t version_ = 0;
};

TEST_F(InitialLoadTest, EndsOnceWhenEachModelIsServed) {
  Load("a");
  EXPECT_EQ(ends_, 0);
  Load("b");
  EXPECT_EQ(ends_, 1);
  EXPECT_EQ(outcome_, OkStatus());
  Load("a");
  EXPECT_EQ(ends_, 1);
}

TEST_F(InitialLoadTest, EndsWithTheReasonOfAModelThatHasFailed) {
  Load("b", kAlwaysFails);
  EXPECT_EQ(ends_, 0);
  Load("a");
  EXPECT_EQ(ends_, 1);
  EXPECT_THAT(std::string(MessageOf(outcome_)), HasSubstr("b: "));
}

TEST_F(InitialLoadTest, DoesNotEndWithoutAnyModelThatIsServed) {
  Load("a", kAlwaysFails);
  manager_.SetSourceStatus("b", absl::NotFoundError("no such folder"));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(ends_, 0);
  Load("a");
  EXPECT_EQ(ends_, 1);
}

TEST_F(InitialLoadTest, DoesNotEndAfterStop) {
  load_.Stop();
  Load("a");
  Load("b");
  EXPECT_EQ(ends_, 0);
}

TEST(InitialLoadOfNothingTest, IsOverAtOnce) {
  core::Manager manager;
  int ends = 0;
  InitialLoad load(manager, [&](const Status& status) {
    EXPECT_EQ(status, OkStatus());
    ++ends;
  });
  load.Start({});
  EXPECT_EQ(ends, 1);
}

}  // namespace
}  // namespace penstock
