// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <latch>
#include <thread>

namespace penstock {
namespace {

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

}  // namespace
}  // namespace penstock
