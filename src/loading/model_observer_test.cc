// SPDX-License-Identifier: Apache-2.0
#include "loading/model_observer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include "core/loader_fake.h"

namespace penstock {
namespace {

using testing::HasSubstr;
using testing::Not;

// Breaks on demand. Thread-safe.
class FragileServable final : public core::Servable {
 public:
  void SetBrokenCallback(core::BrokenCallback callback) override { break_ = std::move(callback); }
  void Break(Status reason) const { break_(std::move(reason)); }

 private:
  core::BrokenCallback break_;
};

// Waits until the listeners have heard of the load, which another thread may be telling them; then
// takes three seconds of the fake clock and succeeds or fails. One thread at a time.
class SlowLoader final : public core::Loader {
 public:
  SlowLoader(FakeClock& clock, std::future<void> is_told, Status status)
      : clock_(clock), is_told_(std::move(is_told)), status_(std::move(status)) {}
  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    is_told_.wait();
    clock_.Advance(std::chrono::seconds(3));
    if (!status_.ok()) return status_;
    return std::make_unique<FragileServable>();
  }

 private:
  FakeClock& clock_;
  const std::future<void> is_told_;
  const Status status_;
};

class ModelObserverTest : public testing::Test {
 protected:
  ModelObserverTest() { testing::internal::CaptureStderr(); }

  void Configure() {
    core::ModelConfig config;
    config.name = "m";
    ASSERT_TRUE(manager_.SetModel(config).ok());
  }
  void Aspire(const Status& status) {
    std::promise<void> told;  // by a listener behind the observer
    const int listener = manager_.AddListener([&](const core::ManagerEvent& event) {
      if (event.version && event.version->state == core::VersionState::kLoading) told.set_value();
    });
    std::vector<core::AspiredVersion> versions;
    versions.push_back({{3}, std::make_unique<SlowLoader>(clock_, told.get_future(), status)});
    manager_.SetAspired("m", std::move(versions));
    ASSERT_TRUE(manager_.WaitUntilIdle());
    manager_.RemoveListener(listener);
  }
  static std::string Log() { return testing::internal::GetCapturedStderr(); }

  FakeClock clock_;
  core::Manager manager_{{.load_nice = 0, .load_retries_max = 0}};
  MetricsRegistry metrics_;
  ModelObserver observer_{manager_, metrics_, clock_};
};

TEST_F(ModelObserverTest, ALoadIsLoggedAndCounted) {
  Configure();
  Aspire(OkStatus());
  const std::string text = metrics_.Text();
  EXPECT_THAT(text, HasSubstr("penstock_model_loads_total{model_name=\"m\",result=\"ok\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("penstock_model_load_seconds_count{model_name=\"m\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("penstock_model_versions{model_name=\"m\",state=\"AVAILABLE\"} 1\n"));
  const std::string log = Log();
  EXPECT_THAT(log, HasSubstr("loading model m version 3\n"));
  // The observer's clock went on by three seconds, in which the manager saw no load at work.
  EXPECT_THAT(log, HasSubstr(" ms of waiting for a thread or for memory\n"));
  EXPECT_THAT(log, HasSubstr("model m version 3 is available, in "));
}

TEST_F(ModelObserverTest, ABrokenVersionIsLoggedAndCountedAndNoFailedLoad) {
  Configure();
  Aspire(OkStatus());
  static_cast<const FragileServable&>(manager_.GetHandle("m")->servable())
      .Break(absl::InternalError("lost"));
  ASSERT_TRUE(manager_.WaitFor([&] { return manager_.VersionStatuses("m")[0].HasFailed(); }));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  const std::string text = metrics_.Text();
  EXPECT_THAT(text, HasSubstr("penstock_model_broken_total{model_name=\"m\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("penstock_model_versions{model_name=\"m\",state=\"END\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("result=\"failed\"")));
  const std::string log = Log();
  EXPECT_THAT(log,
              HasSubstr("model m version 3 is broken and taken from service: INTERNAL: lost\n"));
  EXPECT_THAT(log, HasSubstr("model m version 3 is unloaded\n"));
}

TEST_F(ModelObserverTest, AFailureIsLoggedAndCounted) {
  Configure();
  Aspire(InvalidArgument("bad file"));
  const std::string text = metrics_.Text();
  EXPECT_THAT(text,
              HasSubstr("penstock_model_loads_total{model_name=\"m\",result=\"failed\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("penstock_model_versions{model_name=\"m\",state=\"AVAILABLE\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("penstock_model_versions{model_name=\"m\",state=\"END\"} 1\n"));
  const std::string log = Log();
  EXPECT_THAT(log, HasSubstr("model m version 3 could not be loaded"));
  EXPECT_THAT(log, HasSubstr("bad file"));
}

TEST_F(ModelObserverTest, AnUnloadIsLogged) {
  Configure();
  Aspire(OkStatus());
  manager_.SetAspired("m", {});
  ASSERT_TRUE(manager_.WaitUntilIdle());
  const std::string log = Log();
  EXPECT_THAT(log, HasSubstr("unloading model m version 3\n"));
  EXPECT_THAT(log, HasSubstr("model m version 3 is unloaded\n"));
}

TEST_F(ModelObserverTest, TheEndOfAnIncompleteVersionIsLogged) {
  Configure();
  manager_.SetSourceStatus("m", absl::FailedPreconditionError("version 2 is not complete"));
  manager_.SetAspired("m", {});
  manager_.SetSourceStatus("m", OkStatus());
  const std::string log = Log();
  EXPECT_THAT(log, HasSubstr("model m: version 2 is not complete\n"));
  EXPECT_THAT(log, HasSubstr("model m: what it waited for is there\n"));
}

TEST_F(ModelObserverTest, ASourceThatFailsIsLoggedOnceAndItsReturnToo) {
  Configure();
  manager_.SetSourceStatus("m", InvalidArgument("no folder"));
  manager_.SetSourceStatus("m", InvalidArgument("no folder"));
  manager_.SetSourceStatus("m", OkStatus());
  const std::string log = Log();
  const size_t first = log.find("the versions of model m cannot be read: ");
  ASSERT_NE(first, std::string::npos) << log;
  EXPECT_EQ(log.find("cannot be read", first + 50), std::string::npos) << log;
  EXPECT_THAT(log, HasSubstr("the versions of model m can be read again\n"));
}

TEST_F(ModelObserverTest, AModelThatIsNotToBeLoadedMissesNoVersions) {
  ASSERT_EQ(manager_.SetModel({.name = "m", .load_mode = core::LoadMode::kNever}), OkStatus());
  manager_.SetSourceStatus("m", absl::NotFoundError("it asks for no version"));
  EXPECT_THAT(Log(), Not(HasSubstr("cannot be read")));
}

TEST_F(ModelObserverTest, AReloadIsNotLoggedAsARecoveredSource) {
  Configure();
  manager_.SetSourceStatus("m", InvalidArgument("no folder"));
  Configure();
  manager_.SetSourceStatus("m", InvalidArgument("no other folder"));
  const std::string log = Log();
  EXPECT_THAT(log, HasSubstr("no folder"));
  EXPECT_THAT(log, HasSubstr("no other folder"));
  EXPECT_THAT(log, Not(HasSubstr("can be read again")));
}

TEST_F(ModelObserverTest, AnErrorIsLoggedOnceEvenIfTheRetryIsDropped) {
  for (const bool is_stopped : {false, true}) {
    core::Manager manager({.load_nice = 0, .load_retry_interval = std::chrono::hours(1)});
    MetricsRegistry metrics;
    const ModelObserver observer(manager, metrics, clock_);
    ASSERT_EQ(manager.SetModel({.name = "m"}), OkStatus());
    const auto plan = std::make_shared<core::FakePlan>();
    plan->failures_left = 1;
    manager.SetAspired("m", core::Aspire(core::FakeVersion(3, plan)));
    ASSERT_TRUE(manager.WaitUntilIdle());
    if (is_stopped) {
      manager.StartDrain();
    } else {
      manager.SetAspired("m", {});
    }
    ASSERT_TRUE(manager.WaitUntilIdle());
    EXPECT_THAT(metrics.Text(), HasSubstr("{model_name=\"m\",result=\"failed\"} 1\n"));
    const std::string log = Log();
    if (!is_stopped) testing::internal::CaptureStderr();  // for the second round
    const size_t first = log.find("model m version 3 could not be loaded");
    ASSERT_NE(first, std::string::npos) << log;
    EXPECT_EQ(log.find("could not be loaded", first + 30), std::string::npos) << log;
    EXPECT_THAT(log, HasSubstr("model m version 3 is not tried again\n"));
  }
}

TEST_F(ModelObserverTest, ARemovedModelLeavesTheMetrics) {
  Configure();
  Aspire(OkStatus());
  ASSERT_TRUE(manager_.RemoveModel("m").ok());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_THAT(metrics_.Text(), Not(HasSubstr("penstock_model_versions{model_name=\"m\"")));
  EXPECT_THAT(Log(), Not(HasSubstr("cannot be read")));
}

TEST_F(ModelObserverTest, ARemovedModelIsNotLoggedAsReadableAgain) {
  Configure();
  manager_.SetSourceStatus("m", InvalidArgument("no folder"));
  ASSERT_TRUE(manager_.RemoveModel("m").ok());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_THAT(Log(), Not(HasSubstr("again")));
}

TEST_F(ModelObserverTest, TheInitialLoadEndsOnceEveryModelIsReadyOrFailed) {
  ASSERT_TRUE(manager_
                  .SetModels({{.name = "m"},
                              {.name = "lazy", .load_mode = core::LoadMode::kOnDemand},
                              {.name = "missing"},
                              {.name = "copied"}})
                  .ok());
  manager_.SetSourceStatus("missing", absl::NotFoundError("no folder"));
  manager_.SetSourceStatus("copied", absl::FailedPreconditionError("its files change"));
  Aspire(OkStatus());
  ASSERT_TRUE(manager_.RemoveModel("copied").ok());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  const std::string log = Log();
  // A line a second, of the fake clock; the last one at the end.
  EXPECT_THAT(log, HasSubstr("1 of 3 models are ready, 1 failed\n"));
  EXPECT_THAT(log, HasSubstr("1 of 2 models are ready, 1 failed\n"));
}

}  // namespace
}  // namespace penstock
