// SPDX-License-Identifier: Apache-2.0
// What TensorFlow Serving's managers do, by the numbers of docs/behaviours-checked.md; here is what
// no other test of the manager proves.
#include <gtest/gtest.h>

#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "core/manager_fixture.h"

namespace penstock::core {
namespace {

using Behaviours = ManagerTest;

// A loader of any kind. One thread at a time.
class ScriptedLoader final : public Loader {
 public:
  using Estimate = std::function<StatusOr<ResourceEstimate>()>;
  using LoadFunction = std::function<StatusOr<std::unique_ptr<Servable>>()>;
  ScriptedLoader(Estimate estimate, LoadFunction load)
      : estimate_(std::move(estimate)), load_(std::move(load)) {}
  StatusOr<ResourceEstimate> EstimateResources() override { return estimate_(); }
  StatusOr<std::unique_ptr<Servable>> Load() override { return load_(); }

 private:
  const Estimate estimate_;
  const LoadFunction load_;
};

AspiredVersion Scripted(
    int64_t version, ScriptedLoader::LoadFunction load,
    ScriptedLoader::Estimate estimate = [] { return ResourceEstimate{}; }) {
  return {VersionNumber{version},
          std::make_unique<ScriptedLoader>(std::move(estimate), std::move(load))};
}

std::shared_ptr<FakePlan> PlanOf(uint64_t bytes) {
  auto plan = NewPlan();
  plan->estimate = bytes;
  return plan;
}

VersionStatus NewestOf(const Manager& manager, std::string_view model) {
  const std::vector<VersionStatus> statuses = manager.VersionStatuses(model);
  return statuses.empty() ? VersionStatus{} : statuses[0];
}

bool HasFailed(const Manager& manager, std::string_view model) {
  const VersionStatus status = NewestOf(manager, model);
  return status.HasFailed();
}

TEST_F(Behaviours, B3_LatestIsTheHighestReadyVersionWhichMayBeZero) {
  AspireAndWait(Aspire(FakeVersion(0, NewPlan())));
  EXPECT_EQ(manager_.GetHandle("m")->id().version.value, 0);
  AspireAndWait(Aspire(FakeVersion(0, NewPlan()), FakeVersion(9, NewPlan()),
                       FakeVersion(7, NewPlan()),
                       AspiredVersion{VersionNumber{12}, absl::NotFoundError("no model file")}));
  EXPECT_EQ(Serving(), 9);
}

TEST_F(Behaviours, B9_WithBothPossibleTheUnloadGoesFirst) {
  AspireAndWait(Aspire(FakeVersion(1, NewPlan()), FakeVersion(2, NewPlan())));
  journal_.Take();
  manager_.SetAspired("m", Aspire(FakeVersion(2, NewPlan()), FakeVersion(3, NewPlan())));
  ASSERT_TRUE(manager_.WaitFor([&] { return Serving() == 3; }));
  const Lines lines = journal_.Take();
  ASSERT_GE(lines.size(), 3U);
  EXPECT_EQ(Lines(lines.begin(), lines.begin() + 3),
            (Lines{"m/3 START", "m/1 UNLOADING", "m/3 LOADING"}));
}

TEST_F(Behaviours, B11_B14_ErrorItemIsNotLoadedNotFoundAndEndsWithItsError) {
  std::vector<Status> ends;
  Manager manager;
  const int id = manager.AddListener([&](const ManagerEvent& event) {
    if (event.version && event.version->state == VersionState::kEnd)
      ends.push_back(event.version->status);
  });
  ASSERT_TRUE(manager.SetModel({.name = "m"}).ok());
  const Status error = absl::NotFoundError("no model file");
  manager.SetAspired("m",
                     Aspire(FakeVersion(1, NewPlan()), AspiredVersion{VersionNumber{2}, error}));
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(manager.GetHandle("m", VersionNumber{2}).status(),
            absl::NotFoundError("Servable not found for request: Specific(m, 2): it could not be "
                                "loaded: no model file"));
  EXPECT_TRUE(manager.GetHandle("m", VersionNumber{1}).ok());
  EXPECT_EQ(ends, std::vector<Status>{error});
  manager.RemoveListener(id);
}

// Remembers the thread on which it goes. Thread-safe.
class RememberingServable final : public Servable {
 public:
  explicit RememberingServable(std::thread::id& gone_on) : gone_on_(gone_on) {}
  ~RememberingServable() override { gone_on_ = std::this_thread::get_id(); }

 private:
  std::thread::id& gone_on_;
};

TEST_F(Behaviours, B12_LastHandleMayGoOnAnyThreadAndTheServableGoesOnNoneOfThose) {
  std::thread::id gone_on;
  AspireAndWait(
      Aspire(Scripted(1, [&] { return std::make_unique<RememberingServable>(gone_on); })));
  Handle first = *manager_.GetHandle("m");
  Handle last = first.Share();
  manager_.SetAspired("m", {});
  { const Handle gone = std::move(first); }
  EXPECT_EQ(gone_on, std::thread::id());
  std::thread request([held = std::move(last)] {});
  const std::thread::id request_id = request.get_id();
  request.join();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_NE(gone_on, std::thread::id());
  EXPECT_NE(gone_on, request_id);
  EXPECT_NE(gone_on, std::this_thread::get_id());
}

TEST_F(Behaviours, B17_LastErrorIsTheOneThatIsReported) {
  std::atomic<int> tries{0};
  manager_.SetAspired("m", Aspire(Scripted(1, [&]() -> StatusOr<std::unique_ptr<Servable>> {
                        return Error(StatusCode::kDataLoss, "try {}", ++tries);
                      })));
  ASSERT_TRUE(manager_.WaitFor([&] { return StatusOf(1).status == absl::DataLossError("try 3"); }));
  EXPECT_EQ(StatusOf(1).state, VersionState::kEnd);
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(tries, 3);
}

TEST(BehavioursOfLoads, B23_VersionThatHasNotBegunIsGivenUpAndWantedAgain) {
  FakeGate gate;
  FakeGate started;
  Manager manager({.load_threads = 1});
  ASSERT_TRUE(manager.SetModels({{.name = "slow"}, {.name = "m"}}).ok());
  auto slow = NewPlan();
  slow->gate = &gate;
  slow->started = &started;
  manager.SetAspired("slow", Aspire(FakeVersion(1, slow)));
  started.WaitUntilOpen();
  auto plan = NewPlan();
  manager.SetAspired("m", Aspire(FakeVersion(1, plan)));  // waits for the thread
  manager.SetAspired("m", {});
  manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
  EXPECT_EQ(plan->loads, 0);
  gate.Open();
  ASSERT_TRUE(manager.WaitFor([&] { return manager.GetHandle("m").ok(); }));
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_EQ(plan->loads, 1);
  EXPECT_EQ(plan->alive, 1);
}

// Keeps what it is asked about. Called with the manager's lock held, so one thread at a time.
class RecordingPolicy final : public TransitionPolicy {
 public:
  std::optional<VersionAction> Next(std::span<const PolicyVersion> versions) const override {
    seen_.assign(versions.begin(), versions.end());
    return AvailabilityPreservingPolicy().Next(versions);
  }
  const std::vector<PolicyVersion>& seen() const { return seen_; }

 private:
  mutable std::vector<PolicyVersion> seen_;
};

TEST(BehavioursOfLoads, B24_PolicySeesEveryVersionAlsoTheFailedOnes) {
  const RecordingPolicy policy;
  Manager manager(FastRetries(0));
  ASSERT_TRUE(manager.SetModel({.name = "m", .policy = &policy}).ok());
  auto broken = NewPlan();
  broken->failures_left = 1;
  manager.SetAspired("m", Aspire(FakeVersion(1, NewPlan()), FakeVersion(2, broken),
                                 AspiredVersion{VersionNumber{3}, absl::DataLossError("torn")}));
  ASSERT_TRUE(manager.WaitUntilIdle());
  manager.StartDrain();  // the policy is not asked any more
  ASSERT_EQ(policy.seen().size(), 3U);
  EXPECT_EQ(policy.seen()[0].phase, VersionPhase::kReady);
  EXPECT_EQ(policy.seen()[1].phase, VersionPhase::kError);
  EXPECT_EQ(policy.seen()[2].phase, VersionPhase::kError);
  for (const PolicyVersion& version : policy.seen()) EXPECT_TRUE(version.is_aspired);
}

TEST_F(Behaviours, B25_VersionThatIsListedTwiceIsLoadedOnce) {
  auto plan = NewPlan();
  AspireAndWait(Aspire(FakeVersion(1, plan), FakeVersion(1, plan)));
  EXPECT_EQ(plan->loads, 1);
  EXPECT_EQ(Serving(), 1);
  EXPECT_EQ(manager_.VersionStatuses("m").size(), 1U);
}

TEST_F(Behaviours, B30_OfListsThatRaceOneLoadsAndOneUnloads) {
  auto plan = NewPlan();
  const auto race = [&](bool is_aspired) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        manager_.SetAspired(
            "m", is_aspired ? Aspire(FakeVersion(1, plan)) : std::vector<AspiredVersion>());
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_TRUE(manager_.WaitUntilIdle());
  };
  race(true);
  EXPECT_EQ(plan->loads, 1);
  EXPECT_EQ(plan->alive, 1);
  journal_.Take();
  race(false);
  EXPECT_EQ(plan->alive, 0);
  EXPECT_EQ(journal_.Take(), (Lines{"m/1 UNLOADING", "m/1 END"}));
}

TEST(BehavioursOfLoads, B31_LoadsAndUnloadsOfManyModelsInParallelConverge) {
  constexpr int kModels = 8;
  Manager manager({.load_threads = 4, .unload_threads = 2});
  std::vector<std::shared_ptr<FakePlan>> plans;
  for (int i = 0; i < kModels; ++i) {
    plans.push_back(NewPlan());
    ASSERT_TRUE(manager.SetModel({.name = std::to_string(i)}).ok());
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < kModels; ++i) {
    threads.emplace_back([&, i] {
      for (int64_t version = 1; version <= 20; ++version) {
        manager.SetAspired(std::to_string(i), {});
        manager.SetAspired(std::to_string(i),
                           Aspire(FakeVersion(version, plans[static_cast<size_t>(i)]),
                                  FakeVersion(version + 1, plans[static_cast<size_t>(i)])));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(manager.WaitUntilIdle());
  for (int i = 0; i < kModels; ++i) {
    EXPECT_EQ(manager.GetHandle(std::to_string(i))->id().version.value, 21);
    EXPECT_TRUE(manager.GetHandle(std::to_string(i), VersionNumber{20}).ok());
    EXPECT_EQ(plans[static_cast<size_t>(i)]->alive, 2);
  }
}

TEST(BehavioursOfLoads, B32_MoreThreadsLoadUntilTheFirstListIsThere) {
  Manager manager({.load_threads = 1, .initial_load_threads = 3});
  const Lines names = {"a", "b", "c"};
  ASSERT_TRUE(manager.SetModels({{.name = "a"}, {.name = "b"}, {.name = "c"}}).ok());
  // Loads of all three, which end when `gate` is opened.
  struct Round {
    FakeGate gate;
    FakeGate started[3];
    std::shared_ptr<FakePlan> plans[3] = {NewPlan(), NewPlan(), NewPlan()};
  };
  const auto begin = [&](Round& round, int64_t version) {
    for (size_t i = 0; i < names.size(); ++i) {
      round.plans[i]->gate = &round.gate;
      round.plans[i]->started = &round.started[i];
      manager.SetAspired(names[i], Aspire(FakeVersion(version, round.plans[i])));
    }
  };
  Round first;
  begin(first, 1);
  for (FakeGate& started : first.started) started.WaitUntilOpen();  // all at once
  first.gate.Open();
  ASSERT_TRUE(manager.WaitUntilIdle());
  EXPECT_TRUE(manager.IsReady());
  Round second;
  begin(second, 2);
  second.started[0].WaitUntilOpen();
  EXPECT_EQ(second.plans[1]->loads + second.plans[2]->loads, 0);  // one thread is left
  second.gate.Open();
  ASSERT_TRUE(manager.WaitUntilIdle());
  for (const std::string& name : names) EXPECT_EQ(manager.GetHandle(name)->id().version.value, 2);
}

// A manager with 100 bytes for the models a and b.
class BehavioursOfMemory : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(manager_.SetModels({{.name = "a"}, {.name = "b"}}).ok()); }
  void TearDown() override { gate_.Open(); }

  static ManagerOptions Options() {
    ManagerOptions options = FastRetries(0);
    options.ram_bytes_max = 100;
    return options;
  }
  bool WaitUntilServed(std::string_view model) {
    return manager_.WaitFor([&] { return manager_.GetHandle(model).ok(); });
  }
  bool WaitUntilFailed(std::string_view model) {
    return manager_.WaitFor([&] { return HasFailed(manager_, model); });
  }

  FakeGate gate_;
  Manager manager_{Options()};
};

TEST_F(BehavioursOfMemory, B36_LoadsThatBothFitRunAtTheSameTime) {
  FakeGate started[2];
  std::shared_ptr<FakePlan> plans[2] = {PlanOf(50), PlanOf(50)};
  for (size_t i = 0; i < 2; ++i) {
    plans[i]->gate = &gate_;
    plans[i]->started = &started[i];
    manager_.SetAspired(i == 0 ? "a" : "b", Aspire(FakeVersion(1, plans[i])));
  }
  for (FakeGate& each : started) each.WaitUntilOpen();
  EXPECT_EQ(manager_.MemoryUse().reserved_bytes, 100U);
  gate_.Open();
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_TRUE(manager_.IsReady());
}

TEST_F(BehavioursOfMemory, B38_FailedLoadGivesBackWhatItHadReserved) {
  auto broken = PlanOf(80);
  broken->failures_left = 1;
  manager_.SetAspired("a", Aspire(FakeVersion(1, broken)));
  ASSERT_TRUE(WaitUntilFailed("a"));
  ASSERT_TRUE(manager_.WaitUntilIdle());
  EXPECT_EQ(manager_.MemoryUse().reserved_bytes, 0U);
  manager_.SetAspired("b", Aspire(FakeVersion(1, PlanOf(100))));
  EXPECT_TRUE(WaitUntilServed("b"));
}

TEST_F(BehavioursOfMemory, B39_SmallerOneGetsInWhereABiggerOneDoesNot) {
  manager_.SetAspired("a", Aspire(FakeVersion(1, PlanOf(101))));
  ASSERT_TRUE(WaitUntilFailed("a"));
  EXPECT_EQ(NewestOf(manager_, "a").status.code(), StatusCode::kResourceExhausted);
  manager_.SetAspired("b", Aspire(FakeVersion(1, PlanOf(60))));
  EXPECT_TRUE(WaitUntilServed("b"));
  EXPECT_FALSE(manager_.GetHandle("a").ok());
}

TEST(BehavioursOfLoads, B40_EstimateThatFailsIsRetriedAndPublishedAsAFailedLoad) {
  const auto fails = [](std::shared_ptr<std::atomic<int>> left) -> ScriptedLoader::Estimate {
    return [left]() -> StatusOr<ResourceEstimate> {
      if ((*left)-- > 0) return absl::UnavailableError("disk is away");
      return ResourceEstimate{10, 0};
    };
  };
  const auto load = [plan = NewPlan()] { return std::make_unique<FakeServable>(plan); };
  for (const auto& [failures, is_served] : {std::pair{2, true}, {3, false}}) {
    Manager manager(FastRetries(2));
    Journal journal(manager);
    ASSERT_TRUE(manager.SetModel({.name = "m"}).ok());
    const auto left = std::make_shared<std::atomic<int>>(failures);
    manager.SetAspired("m", Aspire(Scripted(1, load, fails(left))));
    ASSERT_TRUE(manager.WaitFor([&] {
      return is_served ? manager.GetHandle("m").ok() : *left == 0 && HasFailed(manager, "m");
    }));
    ASSERT_TRUE(manager.WaitUntilIdle());
    Lines expected = {"m/1 START"};
    for (int i = 0; i < failures; ++i) {
      expected.emplace_back("m/1 LOADING");
      expected.emplace_back(i < 2 ? "m/1 START" : "m/1 END");  // there are two retries
    }
    if (is_served) {
      expected.emplace_back("m/1 LOADING");
      expected.emplace_back("m/1 AVAILABLE");
    } else {
      EXPECT_EQ(NewestOf(manager, "m").status, absl::UnavailableError("disk is away"));
    }
    EXPECT_EQ(journal.Take(), expected);
  }
}

TEST(BehavioursOfLoads, B62_RequestsForOneModelOnDemandShareOneLoadAndItsError) {
  for (const bool is_broken : {false, true}) {
    FakeGate gate;
    FakeGate started;
    FakeGate answered;
    Manager manager(FastRetries(0));
    ASSERT_TRUE(manager.SetModel({.name = "m", .load_mode = LoadMode::kOnDemand}).ok());
    auto plan = NewPlan();
    plan->gate = &gate;
    plan->started = &started;
    plan->failures_left = is_broken ? 1 : 0;
    manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
    const Status expected =
        is_broken ? absl::UnavailableError("model m cannot be loaded: broken file") : OkStatus();
    std::atomic<int> answers{0};
    std::vector<std::thread> requests;
    for (int i = 0; i < 4; ++i) {
      requests.emplace_back([&] {
        EXPECT_TRUE(manager.LoadOnDemand({.model = "m", .done = [&](const Status& status) {
                                            EXPECT_EQ(status, expected);
                                            if (++answers == 4) answered.Open();
                                          }}));
      });
    }
    for (std::thread& request : requests) request.join();
    started.WaitUntilOpen();
    gate.Open();
    answered.WaitUntilOpen();
    EXPECT_EQ(plan->loads, 1);
    ASSERT_TRUE(manager.WaitUntilIdle());
    EXPECT_EQ(manager.GetHandle("m").ok(), !is_broken);
  }
}

}  // namespace
}  // namespace penstock::core
