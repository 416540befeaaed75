// SPDX-License-Identifier: Apache-2.0
// Shared by the tests of the manager.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "core/loader_fake.h"
#include "core/manager.h"

namespace penstock::core {

inline std::shared_ptr<FakePlan> NewPlan() { return std::make_shared<FakePlan>(); }

// Retries so soon that a test need not wait.
inline ManagerOptions FastRetries(int retries_max) {
  return {.load_retries_max = retries_max,
          .load_retry_interval = std::chrono::milliseconds(1),
          .load_retry_interval_max = std::chrono::milliseconds(2)};
}

// Records the events as "model/version STATE". Thread-safe.
class Journal {
 public:
  explicit Journal(Manager& manager) : manager_(manager) {
    id_ = manager.AddListener([this](const ManagerEvent& event) {
      MutexLock lock(mutex_);
      if (!event.version) return;
      lines_.push_back(fmt::format("{}/{} {}", event.model, event.version->id.version.value,
                                   VersionStateName(event.version->state)));
    });
  }
  ~Journal() { manager_.RemoveListener(id_); }
  // Returns the lines since the last call.
  std::vector<std::string> Take() {
    MutexLock lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  Manager& manager_;
  int id_ = 0;
  Mutex mutex_;
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
};

using Lines = std::vector<std::string>;

// A manager with the model "m", and a journal of its events.
//
//   TEST_F(ManagerTest, ServesTheNewestVersion) {
//     AspireAndWait(Aspire(FakeVersion(1, NewPlan()), FakeVersion(2, NewPlan())));
//     EXPECT_EQ(Serving(), 2);
//   }
//
// One thread.
class ManagerTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(manager_.SetModel({.name = "m"}).ok()); }

  // A test that fails in the middle leaves a load waiting. The manager's destructor would wait for
  // it forever.
  void TearDown() override { gate_.Open(); }

  // Sets the versions of "m". Returns when all that follows from it is done.
  void AspireAndWait(std::vector<AspiredVersion> versions) {
    manager_.SetAspired("m", std::move(versions));
    ASSERT_TRUE(manager_.WaitUntilIdle());
  }
  // Aspires to version 1 of a model. Returns when its load has begun; the load waits until the test
  // opens gate_.
  std::shared_ptr<FakePlan> BeginLoad(std::string_view model = "m", int failures = 0) {
    auto plan = NewPlan();
    plan->gate = &gate_;
    plan->started = &started_;
    plan->failures_left = failures;
    manager_.SetAspired(model, Aspire(FakeVersion(1, plan)));
    started_.WaitUntilOpen();
    return plan;
  }
  // The newest ready version; 0 if there is none.
  int64_t Serving() {
    StatusOr<Handle> handle = manager_.GetHandle("m");
    return handle.ok() ? handle->id().version.value : 0;
  }
  // The status of a version of "m"; an empty one if the version is unknown.
  VersionStatus StatusOf(int64_t version) {
    for (const VersionStatus& status : manager_.VersionStatuses("m")) {
      if (status.id.version.value == version) return status;
    }
    return {};
  }

  FakeGate gate_;
  FakeGate started_;
  Manager manager_{FastRetries(2)};
  Journal journal_{manager_};
};

}  // namespace penstock::core
