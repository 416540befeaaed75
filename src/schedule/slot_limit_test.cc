// SPDX-License-Identifier: Apache-2.0
#include "schedule/slot_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace penstock::schedule {
namespace {

// CPUs on which each run keeps `threads` of them busy, as far as there are enough. One thread at a
// time.
class Machine {
 public:
  Machine(uint32_t cpus, double threads)
      : cpus_(cpus), threads_(threads), limit_(cpus, static_cast<double>(cpus)) {}

  // So many intervals pass, in which all allowed slots are taken and more work waits.
  void Saturate(int intervals) { Pass(intervals, /*waits=*/true); }
  // So many intervals pass in which nothing waits.
  void Idle(int intervals) { Pass(intervals, /*waits=*/false); }

  void set_threads(double threads) { threads_ = threads; }
  // What other programs use.
  void set_stolen(double cpus) { stolen_ = cpus; }
  uint32_t slots() const { return limit_.slots(); }
  // Intervals in which less than 95 % of the CPUs were used.
  int idle_intervals() const { return idle_intervals_; }

 private:
  void Pass(int intervals, bool waits) {
    for (int i = 0; i < intervals; ++i) {
      const double wanted = waits ? limit_.slots() * threads_ : 0;
      const double used = std::min(wanted, cpus_ - stolen_);
      if (waits && used < 0.95 * cpus_) ++idle_intervals_;
      now_ += SlotLimit::kInterval;
      cpu_ += static_cast<int64_t>(used * SlotLimit::kInterval);
      limit_.Record(now_, cpu_, waits ? limit_.slots() : 0, waits);
    }
  }

  const double cpus_;
  double threads_;
  double stolen_ = 0;
  SlotLimit limit_;
  int64_t now_ = 1'000'000'000, cpu_ = 0;
  int idle_intervals_ = 0;
};

TEST(SlotLimitTest, RunsOfOneThreadGetAllSlots) {
  for (const uint32_t cpus : {1U, 2U, 8U, 64U}) {
    Machine machine(cpus, 1);
    machine.Saturate(10'000);
    // An attempt may go on just now.
    EXPECT_GE(machine.slots(), cpus - std::max(cpus / 8, cpus > 1 ? 1U : 0U)) << cpus;
    // Attempts become rare: one a minute, of two intervals each.
    EXPECT_LE(machine.idle_intervals(), 50) << cpus;
  }
}

TEST(SlotLimitTest, RunsThatUseManyThreadsGetAsFewSlotsAsFillTheCpus) {
  for (const auto& [threads, slots] : {std::pair{64.0, 1U}, {16.0, 4U}, {4.0, 16U}}) {
    Machine machine(64, threads);
    machine.Saturate(3000);
    EXPECT_GE(machine.slots(), slots - std::max(slots / 8, slots > 1 ? 1U : 0U)) << threads;
    EXPECT_LE(machine.slots(), slots + slots / 8) << threads;
  }
}

TEST(SlotLimitTest, GrowsWithinTwoIntervalsWhenCpusAreIdle) {
  Machine machine(64, 64);
  machine.Saturate(3000);
  ASSERT_EQ(machine.slots(), 1U);
  machine.set_threads(1);
  // The first one sees half of the old load at most.
  machine.Saturate(4);
  EXPECT_EQ(machine.slots(), 64U);
}

TEST(SlotLimitTest, AFailedAttemptIsTakenBackAfterOneInterval) {
  Machine machine(2, 1);
  int attempt = 0;
  for (; attempt < 100 && machine.slots() == 2; ++attempt) machine.Saturate(1);
  ASSERT_EQ(machine.slots(), 1U);
  // One interval begins when one slot is taken, and shows that a CPU is idle.
  machine.Saturate(2);
  EXPECT_EQ(machine.slots(), 2U);
  EXPECT_EQ(machine.idle_intervals(), 2);
}

TEST(SlotLimitTest, ALoadThatLeavesNothingWaitingChangesNothing) {
  Machine machine(8, 8);
  machine.Idle(1000);
  EXPECT_EQ(machine.slots(), 8U);
}

TEST(SlotLimitTest, CpuTimeThatOtherProgramsUseKeepsAllSlots) {
  Machine machine(8, 8);
  machine.set_stolen(1);
  machine.Saturate(1000);
  EXPECT_EQ(machine.slots(), 8U);
}

TEST(SlotLimitTest, AnIntervalInWhichMoreRunsGoOnThanAllowedSaysNothing) {
  SlotLimit limit(4, 4);
  int64_t now = 0, cpu = 0;
  const auto pass = [&](double busy, uint32_t taken) {
    now += SlotLimit::kInterval;
    cpu += static_cast<int64_t>(busy * 4 * SlotLimit::kInterval);
    limit.Record(now, cpu, taken, /*waits=*/true);
  };
  while (limit.slots() == 4) pass(1, 4);
  ASSERT_EQ(limit.slots(), 3U);
  // The fourth run is long.
  for (int i = 0; i < 10; ++i) pass(0.5, 4);
  EXPECT_EQ(limit.slots(), 3U);
}

}  // namespace
}  // namespace penstock::schedule
