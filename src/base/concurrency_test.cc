// SPDX-License-Identifier: Apache-2.0
// CancelToken, ThreadPool, thread slots, clocks.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/thread_slot.h"

namespace penstock {
namespace {

TEST(CancelTokenTest, CallbackRunsOnceAtTheCancel) {
  CancelToken token;
  int calls = 0;
  token.SetCallback([&] { ++calls; });
  EXPECT_FALSE(token.IsCancelled());
  token.Cancel();
  token.Cancel();
  EXPECT_TRUE(token.IsCancelled());
  EXPECT_EQ(calls, 1);
}

TEST(CancelTokenTest, KeepsTheFirstReason) {
  CancelToken left;
  left.Cancel();
  left.Cancel(CancelReason::kDeadline);
  EXPECT_FALSE(left.HasExpired());
  CancelToken expired;
  expired.Cancel(CancelReason::kDeadline);
  expired.Cancel();
  EXPECT_TRUE(expired.IsCancelled());
  EXPECT_TRUE(expired.HasExpired());
}

TEST(CancelTokenTest, CallbackSetAfterTheCancelRunsAtOnce) {
  CancelToken token;
  token.Cancel();
  int calls = 0;
  token.SetCallback([&] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(CancelTokenTest, ClearedCallbackDoesNotRun) {
  CancelToken token;
  token.ClearCallback();
  int calls = 0;
  token.SetCallback([&] { ++calls; });
  token.ClearCallback();
  token.Cancel();
  EXPECT_EQ(calls, 0);
}

TEST(CancelTokenTest, CallbackMayClearItself) {
  CancelToken token;
  int calls = 0;
  token.SetCallback([&] {
    token.ClearCallback();
    ++calls;
  });
  token.Cancel();
  EXPECT_EQ(calls, 1);
}

TEST(CancelTokenTest, ClearWaitsForTheRunningCallback) {
  CancelToken token;
  std::latch started(1);
  std::latch go_on(1);
  std::atomic<bool> over{false};
  token.SetCallback([&] {
    started.count_down();
    go_on.wait();
    over = true;
  });
  std::thread canceller([&] { token.Cancel(); });
  started.wait();
  std::thread clearer([&] {
    token.ClearCallback();
    EXPECT_TRUE(over);
  });
  go_on.count_down();
  clearer.join();
  canceller.join();
}

// Set, clear and cancel race: the callback must not run after ClearCallback has returned.
TEST(CancelTokenTest, Races) {
  for (int round = 0; round < 500; ++round) {
    CancelToken token;
    auto owned = std::make_unique<std::atomic<int>>(0);
    std::thread canceller([&] { token.Cancel(); });
    token.SetCallback([raw = owned.get()] { ++*raw; });
    token.ClearCallback();
    EXPECT_LE(*owned, 1);
    owned.reset();
    canceller.join();
  }
}

TEST(ThreadPoolTest, RunsEverythingAndDrainsAtTheEnd) {
  std::atomic<int> runs{0};
  {
    ThreadPool pool({.name = "test", .threads = 3});
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(pool.Submit([&] { ++runs; }));
  }
  EXPECT_EQ(runs, 1000);
}

TEST(ThreadPoolTest, FullQueueRefuses) {
  std::latch started(1);
  std::latch go_on(1);
  int runs = 0;
  {
    ThreadPool pool({.name = "test", .threads = 1, .queue_tasks_max = 2});
    ASSERT_TRUE(pool.Submit([&] {
      started.count_down();
      go_on.wait();
    }));
    started.wait();
    EXPECT_TRUE(pool.Submit([&] { ++runs; }));
    EXPECT_TRUE(pool.Submit([&] { ++runs; }));
    EXPECT_FALSE(pool.Submit([&] { runs += 100; }));
    go_on.count_down();
  }
  EXPECT_EQ(runs, 2);
}

TEST(ThreadPoolTest, ThreadsHaveTheirPriority) {
  const auto nice_of_this_thread = [] {
    return getpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)));
  };
  int nice = -100;
  {
    ThreadPool pool({.name = "test", .nice = 15});
    ASSERT_TRUE(pool.Submit([&] { nice = nice_of_this_thread(); }));
  }
  EXPECT_EQ(nice, std::max(15, nice_of_this_thread()));
}

// Not even by root: what is to run in the background would go before the rest of the program.
TEST(ThreadPoolTest, ALowerPriorityIsNotRaised) {
  std::thread([] {
    SetThreadNice(19);
    SetThreadNice(10);
    EXPECT_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid))), 19);
  }).join();
}

TEST(ThreadPoolTest, ASliceChangesNoPriority) {
  std::thread([] {
    SetThreadNice(12);
    const int nice = getpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)));
    SetThreadSlice(std::chrono::microseconds(100));
    EXPECT_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid))), nice);
    std::array<uint64_t, 6> attributes =
        {};  // as sched_getattr fills them: the fourth is the slice
    ASSERT_EQ(syscall(SYS_sched_getattr, 0, attributes.data(), sizeof(attributes), 0), 0);
    EXPECT_TRUE(attributes[3] == 100'000 || attributes[3] == 0) << attributes[3];
  }).join();
}

TEST(ThreadSlotTest, LivingThreadsDifferAndSlotsAreReused) {
  constexpr int kThreads = 20;
  for (int round = 0; round < 20; ++round) {  // 400 threads in all, more than there are slots
    std::vector<int> slots(kThreads);
    std::latch all_have_one(kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        slots[static_cast<size_t>(i)] = ThreadSlot();
        EXPECT_EQ(ThreadSlot(), slots[static_cast<size_t>(i)]);
        all_have_one.arrive_and_wait();
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(std::set<int>(slots.begin(), slots.end()).size(), static_cast<size_t>(kThreads));
    EXPECT_LT(*std::max_element(slots.begin(), slots.end()), kThreadSlots - 1);
  }
}

TEST(ThreadSlotTest, ThreadsBeyondTheLastSlotShareIt) {
  constexpr int kThreads = kThreadSlots + 10;
  std::vector<int> slots(kThreads);
  std::latch all_have_one(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      slots[static_cast<size_t>(i)] = ThreadSlot();
      all_have_one.arrive_and_wait();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(std::count(slots.begin(), slots.end(), kThreadSlots - 1), 11);
  for (const int slot : slots) EXPECT_TRUE(slot >= 0 && slot < kThreadSlots);
}

TEST(ClockTest, FakeClockMovesOnlyWhenAdvanced) {
  FakeClock clock;
  const SteadyTime start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(std::chrono::seconds(3));
  EXPECT_EQ(clock.Now() - start, std::chrono::seconds(3));
  const SteadyTime real = Clock::Real().Now();
  EXPECT_GE(Clock::Real().Now(), real);
}

}  // namespace
}  // namespace penstock
