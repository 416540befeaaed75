// SPDX-License-Identifier: Apache-2.0
#include "infer/run_times.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace penstock {
namespace {

using std::chrono::microseconds;

void RecordMany(RunTimes& times, int count, Duration run_time, bool was_inline) {
  for (int i = 0; i < count; ++i) times.Record(run_time, was_inline);
}

TEST(RunTimesTest, FastModelGoesInlineAfterHundredRuns) {
  RunTimes times({});
  RecordMany(times, 99, microseconds(10), false);
  EXPECT_FALSE(times.MayRunInline());
  times.Record(microseconds(10), false);
  EXPECT_TRUE(times.MayRunInline());
}

TEST(RunTimesTest, OneSlowRunInAHundredIsAllowed) {
  RunTimes times({});
  times.Record(microseconds(5000), false);
  RecordMany(times, 99, microseconds(10), false);
  EXPECT_TRUE(times.MayRunInline());
}

TEST(RunTimesTest, ModelThatIsTooOftenSlowStaysOnThePool) {
  RunTimes times({});
  for (int i = 0; i < 1000; ++i) times.Record(microseconds(i % 50 == 0 ? 60 : 10), false);
  EXPECT_FALSE(times.MayRunInline());
  // It gets faster: its past fades.
  RecordMany(times, 20'000, microseconds(10), false);
  EXPECT_TRUE(times.MayRunInline());
}

TEST(RunTimesTest, ModelThatGetsSlowerGoesBack) {
  RunTimes times({});
  RecordMany(times, 100, microseconds(10), false);
  RecordMany(times, 1024, microseconds(60), true);
  EXPECT_FALSE(times.MayRunInline());
}

TEST(RunTimesTest, OneVeryLongInlineRunSendsItBackForLongerEachTime) {
  RunTimes times({.was_preempted = [] { return false; }});
  int needed = 100;
  for (int round = 0; round < 8; ++round) {
    RecordMany(times, needed - 10, microseconds(10), false);
    EXPECT_FALSE(times.MayRunInline()) << needed;
    RecordMany(times, 10, microseconds(10), false);
    EXPECT_TRUE(times.MayRunInline()) << needed;
    times.Record(microseconds(1001), true);
    EXPECT_FALSE(times.MayRunInline());
    needed = std::min(needed * 2, 1600);
  }
}

TEST(RunTimesTest, OneLongRunOfAPreemptedThreadIsExcusedUntilTheNextDecision) {
  RunTimes times({.was_preempted = [] { return true; }});
  RecordMany(times, 100, microseconds(10), false);
  times.Record(microseconds(5000), true);
  EXPECT_TRUE(times.MayRunInline());
  RecordMany(times, 256, microseconds(10), true);
  times.Record(microseconds(5000), true);
  EXPECT_TRUE(times.MayRunInline());
  times.Record(microseconds(5000), true);
  EXPECT_FALSE(times.MayRunInline());
}

TEST(RunTimesTest, PreemptionIsNewsOnlyOnce) {
  std::thread([] {
    WasPreempted();
    // Two looks in a row: at least one of a few pairs is not torn apart by the kernel.
    bool has_seen_calm = false;
    for (int i = 0; i < 100 && !has_seen_calm; ++i) has_seen_calm = !WasPreempted();
    EXPECT_TRUE(has_seen_calm);
  }).join();
}

TEST(RunTimesTest, LongRunOnThePoolIsJustASlowRun) {
  RunTimes times({});
  RecordMany(times, 300, microseconds(10), false);
  times.Record(microseconds(5000), false);
  EXPECT_TRUE(times.MayRunInline());
}

TEST(RunTimesTest, ZeroMeansNever) {
  RunTimes times({.run_time_max = Duration::zero()});
  RecordMany(times, 1000, microseconds(0), false);
  EXPECT_FALSE(times.MayRunInline());
}

TEST(RunTimesTest, ManyThreads) {
  RunTimes times({});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { RecordMany(times, 10'000, microseconds(1), times.MayRunInline()); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(times.MayRunInline());
}

}  // namespace
}  // namespace penstock
