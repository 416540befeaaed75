// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "core/manager_fixture.h"

namespace penstock::core {
namespace {

TEST(ManagerMemoryTest, LoadOverTheLimitFailsWithTheMissingBytes) {
  ManagerOptions options = FastRetries(1000);
  options.ram_bytes_max = 100;
  Manager manager(options);
  ASSERT_TRUE(manager.SetModels({{.name = "a"}, {.name = "b"}}).ok());
  auto plan = NewPlan();
  plan->estimate = 70;
  manager.SetAspired("a", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager.WaitUntilIdle());
  manager.SetAspired("b", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager.WaitFor([&] {
    const auto statuses = manager.VersionStatuses("b");
    return !statuses.empty() && statuses[0].state == VersionState::kEnd;
  }));
  EXPECT_EQ(manager.VersionStatuses("b")[0].status,
            absl::ResourceExhaustedError(
                "Insufficient resources to load servable b version 1: it takes 70 bytes, and 70 of "
                "the limit of 100 are taken, so that 40 are missing"));
  // When there is headroom again, the retry succeeds.
  manager.SetAspired("a", {});
  EXPECT_TRUE(manager.WaitFor([&] { return manager.GetHandle("b").ok(); }));
}

TEST(ManagerMemoryTest, ReservationShrinksToTheLoadedSize) {
  ManagerOptions options = FastRetries(0);
  options.ram_bytes_max = 100;
  Manager manager(options);
  ASSERT_TRUE(manager.SetModels({{.name = "a"}, {.name = "b", .memory_bytes = 60}}).ok());
  auto plan = NewPlan();
  plan->estimate = 90;
  plan->load_extra = 10;
  plan->loaded_estimate = 40;
  manager.SetAspired("a", Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(manager.MemoryUse().reserved_bytes, 40U);
  EXPECT_EQ(manager.VersionStatuses("a")[0].memory_bytes, 40U);
  auto other = NewPlan();
  other->estimate = 1000;  // its configuration says 60
  manager.SetAspired("b", Aspire(FakeVersion(1, other)));
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.GetHandle("b").ok());
  EXPECT_EQ(manager.MemoryUse().reserved_bytes, 100U);
}

TEST(ManagerMemoryTest, MeasuredSizeIsReservedUnlessConfigured) {
  std::atomic<uint64_t> own_bytes = 1000;
  ManagerOptions options = FastRetries(0);
  options.read_memory = [&] {  // read twice in a load
    return std::optional(ProcessMemory{.own_bytes = own_bytes.fetch_add(25)});
  };
  Manager manager(options);
  ASSERT_TRUE(manager.SetModels({{.name = "a"}, {.name = "b", .memory_bytes = 60}}).ok());
  auto plan = NewPlan();
  plan->estimate = 90;
  plan->load_extra = 10;
  for (const char* const name : {"a", "b"}) {
    manager.SetAspired(name, Aspire(FakeVersion(1, plan)));
    ASSERT_TRUE(manager.WaitUntilIdle());
  }
  EXPECT_EQ(manager.VersionStatuses("a")[0].memory_bytes, 25U);
  EXPECT_TRUE(manager.VersionStatuses("a")[0].is_memory_measured);
  EXPECT_EQ(manager.VersionStatuses("b")[0].memory_bytes, 60U);
  EXPECT_FALSE(manager.VersionStatuses("b")[0].is_memory_measured);
}

// The unload waits for the request that holds the version.
TEST(ManagerMemoryTest, LoadIsNotMeasuredDuringAnUnload) {
  ManagerOptions options = FastRetries(0);
  options.read_memory = [] { return std::optional(ProcessMemory{}); };
  Manager manager(options);
  ASSERT_TRUE(manager.SetModels({{.name = "a"}, {.name = "b"}}).ok());
  manager.SetAspired("a", Aspire(FakeVersion(1, NewPlan())));
  ASSERT_TRUE(manager.WaitUntilIdle());
  {
    const StatusOr<Handle> held = manager.GetHandle("a");
    ASSERT_TRUE(held.ok());
    manager.SetAspired("a", {});
    auto plan = NewPlan();
    plan->estimate = 7;
    manager.SetAspired("b", Aspire(FakeVersion(1, plan)));
    ASSERT_TRUE(manager.WaitFor([&] { return manager.GetHandle("b").ok(); }));
  }
  EXPECT_EQ(manager.VersionStatuses("b")[0].memory_bytes, 7U);
  EXPECT_FALSE(manager.VersionStatuses("b")[0].is_memory_measured);
}

TEST(ManagerMemoryTest, LoadWaitsWhileAnotherLoadMayFreeMemory) {
  ManagerOptions options = FastRetries(0);
  options.ram_bytes_max = 100;
  Manager manager(options);
  ASSERT_TRUE(manager.SetModels({{.name = "a"}, {.name = "b"}}).ok());
  FakeGate gate;
  FakeGate started;
  auto first = NewPlan();
  first->estimate = 60;
  first->load_extra = 30;
  first->gate = &gate;
  first->started = &started;
  manager.SetAspired("a", Aspire(FakeVersion(1, first)));
  started.WaitUntilOpen();
  auto second = NewPlan();
  second->estimate = 40;
  manager.SetAspired("b", Aspire(FakeVersion(1, second)));
  EXPECT_TRUE(manager.WaitFor([&] {
    const auto statuses = manager.VersionStatuses("b");
    return !statuses.empty() && statuses[0].state == VersionState::kLoading &&
           statuses[0].status.code() == StatusCode::kResourceExhausted;
  }));
  EXPECT_EQ(second->loads, 0);
  gate.Open();
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.GetHandle("b").ok());
}

// A manager with little memory, and models of one version each. One thread.
class MemoryOrderTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kLimit = 1000;

  void TearDown() override { gate_.Open(); }

  // Aspires to a model of so many bytes; with `gated` its load waits for gate_, and has begun.
  std::shared_ptr<FakePlan> Add(const std::string& name, uint64_t bytes, bool gated = false) {
    auto plan = NewPlan();
    plan->estimate = bytes;
    if (gated) {
      plan->gate = &gate_;
      plan->started = &started_;
    }
    EXPECT_TRUE(manager_.SetModel({.name = name}).ok());
    manager_.SetAspired(name, Aspire(FakeVersion(1, plan)));
    if (gated) started_.WaitUntilOpen();
    return plan;
  }
  VersionStatus StatusOf(const std::string& name) {
    const auto statuses = manager_.VersionStatuses(name);
    return statuses.empty() ? VersionStatus() : statuses[0];
  }
  bool WaitUntilReady(const std::string& name) {
    return manager_.WaitFor([&] { return manager_.GetHandle(name).ok(); });
  }
  // Until the model's load waits for memory.
  bool WaitUntilWaiting(const std::string& name) {
    return manager_.WaitFor([&] {
      return StatusOf(name).state == VersionState::kLoading &&
             StatusOf(name).status.code() == StatusCode::kResourceExhausted;
    });
  }
  bool WaitUntilRefused(const std::string& name) {
    return manager_.WaitFor([&] {
      return StatusOf(name).state == VersionState::kEnd &&
             StatusOf(name).status.code() == StatusCode::kResourceExhausted;
    });
  }

  FakeGate gate_;
  FakeGate started_;
  Manager manager_{[] {
    ManagerOptions options = FastRetries(0);
    options.ram_bytes_max = kLimit;
    return options;
  }()};
};

TEST_F(MemoryOrderTest, UnloadedMemoryGoesToTheLoadThatWaitedLongest) {
  Add("old", 600);
  ASSERT_TRUE(WaitUntilReady("old"));
  StatusOr<Handle> held = manager_.GetHandle("old");
  manager_.SetAspired("old", {});
  Add("big", 700);
  ASSERT_TRUE(WaitUntilWaiting("big"));
  // It would fit now, and then the big one would not.
  const auto small = Add("small", 350);
  ASSERT_TRUE(WaitUntilWaiting("small"));
  EXPECT_EQ(StatusOf("small").status.message(),
            "servable small version 1 waits for memory: it takes 350 bytes, and what is free is "
            "for loads that came before it");
  Add("fits beside it", 300);
  ASSERT_TRUE(WaitUntilReady("fits beside it"));
  EXPECT_EQ(small->loads, 0);
  EXPECT_FALSE(manager_.GetHandle("big").ok());
  *held = Handle();
  ASSERT_TRUE(WaitUntilReady("big"));
  EXPECT_TRUE(WaitUntilRefused("small"));
}

TEST_F(MemoryOrderTest, LoadThatWaitsForALoadToFailIsOvertakenOnlySoOften) {
  constexpr int kOvertaking = 100;
  const auto slow = Add("slow", 500, /*gated=*/true);
  slow->failures_left = 1;
  Add("big", 1000 - kOvertaking);
  ASSERT_TRUE(WaitUntilWaiting("big"));
  for (int i = 0; i < kOvertaking; ++i) {
    const std::string name = fmt::format("small{}", i);
    Add(name, 1);
    ASSERT_TRUE(WaitUntilReady(name)) << i;
  }
  const auto late = Add("late", 1);
  ASSERT_TRUE(WaitUntilWaiting("late"));
  gate_.Open();
  EXPECT_TRUE(WaitUntilReady("big"));
  EXPECT_TRUE(WaitUntilRefused("late"));
  EXPECT_EQ(late->loads, 0);
}

TEST_F(MemoryOrderTest, LoadThatCanNeverFitFailsAtOnce) {
  Add("here", 300);
  ASSERT_TRUE(WaitUntilReady("here"));
  Add("slow", 100, /*gated=*/true);
  Add("big", 701);
  EXPECT_TRUE(WaitUntilRefused("big"));
  EXPECT_FALSE(manager_.GetHandle("slow").ok());
  manager_.SetAspired("here", {});
  gate_.Open();
  ASSERT_TRUE(WaitUntilReady("slow"));
  EXPECT_TRUE(WaitUntilReady("big"));  // there is headroom now
}

#ifdef NDEBUG
constexpr int kMany = 2000;
#else
constexpr int kMany = 300;  // sanitizers are slow
#endif

// Reviews that visit all models for each load that waits would take minutes.
TEST(ManyLoadsTest, ThousandsOfWaitingLoadsGetMemory) {
  ManagerOptions options = FastRetries(0);
  options.ram_bytes_max = kMany;
  Manager manager(options);
  FakeGate gate;
  FakeGate started;
  auto holder = NewPlan();
  holder->estimate = kMany;
  holder->gate = &gate;
  holder->started = &started;
  holder->failures_left = 1;
  std::vector<ModelConfig> configs{{.name = "holder"}};
  for (int i = 0; i < kMany; ++i) configs.push_back({.name = fmt::format("m{}", i)});
  ASSERT_TRUE(manager.SetModels(std::move(configs)).ok());
  manager.SetAspired("holder", Aspire(FakeVersion(1, holder)));
  started.WaitUntilOpen();
  auto plan = NewPlan();
  plan->estimate = 1;
  for (int i = 0; i < kMany; ++i)
    manager.SetAspired(fmt::format("m{}", i), Aspire(FakeVersion(1, plan)));
  gate.Open();
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(plan->alive, kMany);
}

TEST(ManyLoadsTest, ThousandsOfRefusedLoadsAreRetriedWhenThereIsHeadroom) {
  ManagerOptions options = FastRetries(0);
  options.ram_bytes_max = kMany;
  Manager manager(options);
  auto holder = NewPlan();
  holder->estimate = kMany;
  std::vector<ModelConfig> configs{{.name = "holder"}};
  for (int i = 0; i < kMany; ++i) configs.push_back({.name = fmt::format("m{}", i)});
  ASSERT_TRUE(manager.SetModels(std::move(configs)).ok());
  manager.SetAspired("holder", Aspire(FakeVersion(1, holder)));
  ASSERT_TRUE(manager.WaitUntilIdle());
  auto plan = NewPlan();
  plan->estimate = 1;
  for (int i = 0; i < kMany; ++i)
    manager.SetAspired(fmt::format("m{}", i), Aspire(FakeVersion(1, plan)));
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(plan->alive, 0);
  manager.SetAspired("holder", {});
  ASSERT_TRUE(manager.WaitFor([&] { return plan->alive == kMany; }));
}

}  // namespace
}  // namespace penstock::core
