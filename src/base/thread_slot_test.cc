// SPDX-License-Identifier: Apache-2.0
#include "base/thread_slot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <latch>
#include <set>
#include <thread>
#include <vector>

namespace penstock {
namespace {

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

}  // namespace
}  // namespace penstock
