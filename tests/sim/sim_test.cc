// SPDX-License-Identifier: Apache-2.0
// Runs many random lives of a manager. A violated promise prints its seed, which replays:
//   PENSTOCK_SIM_SEED=123 build/release/tests/sim/sim_test
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "tests/sim/simulation.h"

namespace penstock::sim {
namespace {

#ifdef NDEBUG
constexpr uint64_t kSeeds = 100'000;
#else
constexpr uint64_t kSeeds = 1'000;  // sanitizers are slow
#endif

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// What went wrong with a seed; empty: nothing. With `trace` all that happens is printed.
std::string RunSeed(SimulationOptions options) {
  try {
    Simulation(options).Run();
  } catch (const Violation& violation) {
    return violation.what();
  }
  return "";
}

// The violations found in the seeds from 1 on, on all CPUs; ends soon after the first one.
std::vector<std::string> RunSeeds(uint64_t seeds, const core::TransitionPolicy* policy) {
  std::atomic<uint64_t> next{1};
  std::atomic<bool> found{false};
  Mutex mutex;
  std::vector<std::string> violations;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back([&] {
      for (uint64_t seed = next++; seed <= seeds && !found; seed = next++) {
        std::string violation = RunSeed({.seed = seed, .policy = policy});
        if (violation.empty()) continue;
        found = true;
        MutexLock lock(mutex);
        violations.push_back(std::move(violation));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return violations;
}

TEST(SimulationTest, EverySeedKeepsThePromises) {
  if (const uint64_t seed = FromEnvironment("PENSTOCK_SIM_SEED", 0); seed != 0) {
    EXPECT_EQ(RunSeed({.seed = seed, .trace = true}), "");
    return;
  }
  const auto violations = RunSeeds(FromEnvironment("PENSTOCK_SIM_SEEDS", kSeeds), nullptr);
  for (const std::string& violation : violations) ADD_FAILURE() << violation;
}

TEST(SimulationTest, SameSeedGivesTheSameLife) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunSeed({.seed = 7, .trace = true}), "");
  const std::string first = testing::internal::GetCapturedStdout();
  testing::internal::CaptureStdout();
  EXPECT_EQ(RunSeed({.seed = 7, .trace = true}), "");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), first);
  EXPECT_NE(first.find("AVAILABLE"), std::string::npos);
}

// Unloads what is not aspired without looking whether anything else serves. Immutable.
class CarelessPolicy final : public core::TransitionPolicy {
 public:
  std::optional<core::VersionAction> Next(
      std::span<const core::PolicyVersion> versions) const override {
    for (const core::PolicyVersion& version : versions) {
      if (version.phase == core::VersionPhase::kReady && !version.is_aspired)
        return core::VersionAction{core::VersionAction::Kind::kUnload, version.version};
    }
    return core::AvailabilityPreservingPolicy().Next(versions);
  }
};

// Never loads the highest version if another one is ready. Immutable.
class ForgetfulPolicy final : public core::TransitionPolicy {
 public:
  std::optional<core::VersionAction> Next(
      std::span<const core::PolicyVersion> versions) const override {
    const auto action = core::AvailabilityPreservingPolicy().Next(versions);
    const bool any_ready = std::any_of(versions.begin(), versions.end(), [](const auto& version) {
      return version.phase == core::VersionPhase::kReady;
    });
    if (action && action->kind == core::VersionAction::Kind::kLoad && any_ready)
      return std::nullopt;
    return action;
  }
};

TEST(SimulationTest, PolicyThatLeavesAGapIsCaught) {
  const CarelessPolicy policy;
  const auto violations = RunSeeds(1000, &policy);
  ASSERT_FALSE(violations.empty());
  EXPECT_NE(violations[0].find("was ready and is not any more"), std::string::npos)
      << violations[0];
}

TEST(SimulationTest, PolicyThatForgetsAVersionIsCaught) {
  const ForgetfulPolicy policy;
  const auto violations = RunSeeds(1000, &policy);
  ASSERT_FALSE(violations.empty());
  EXPECT_NE(violations[0].find("is aspired and not ready"), std::string::npos) << violations[0];
}

}  // namespace
}  // namespace penstock::sim
