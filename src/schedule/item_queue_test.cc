// SPDX-License-Identifier: Apache-2.0
#include "schedule/item_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>
#include <tuple>
#include <vector>

namespace penstock::schedule {
namespace {

std::tuple<int64_t, uint64_t> OrderOf(const QueueItem& item) {
  return {item.deadline, item.arrival};
}

TEST(ItemQueueTest, GivesTheItemsByDeadlineAndThenByArrival) {
  std::array<QueueItem, 4> items;
  for (size_t i = 0; i < items.size(); ++i) items[i].arrival = i + 1;
  items[1].deadline = 20;
  items[2].deadline = 10;
  items[3].deadline = 20;
  ItemQueue queue;
  for (QueueItem& item : items) queue.Push(item);
  for (const size_t expected : {2, 1, 3, 0}) {
    ASSERT_EQ(&queue.top(), &items[expected]);
    queue.Remove(queue.top());
  }
  EXPECT_TRUE(queue.empty());
}

TEST(ItemQueueTest, AnItemThatOvertakesManyComesFirst) {
  std::vector<QueueItem> items(100);
  ItemQueue queue;
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].arrival = i + 1;
    items[i].deadline = i == 99 ? 1 : 1000;
    queue.Push(items[i]);
  }
  EXPECT_EQ(&queue.top(), &items[99]);
  queue.Remove(items[99]);
  EXPECT_EQ(&queue.top(), &items[0]);
  size_t count = 0;
  queue.ForEach([&count](QueueItem&) { ++count; });
  EXPECT_EQ(count, 99U);
}

// Against a set, with deadlines that all come in order, nearly so, or not at all.
TEST(ItemQueueTest, HasTheOrderOfASet) {
  std::mt19937 random(1);
  const auto pick = [&random](size_t count) { return random() % count; };
  for (const size_t disorder : {1, 5, 40, 1000, 1'000'000}) {
    std::vector<QueueItem> items(300);
    std::vector<QueueItem*> outside, inside;
    for (QueueItem& item : items) outside.push_back(&item);
    std::set<std::tuple<int64_t, uint64_t>> expected;
    ItemQueue queue;
    for (uint64_t step = 1; step <= 5000; ++step) {
      ASSERT_EQ(queue.size(), expected.size());
      if (!expected.empty()) {
        ASSERT_EQ(OrderOf(queue.top()), *expected.begin());
      }
      if (inside.empty() || (!outside.empty() && pick(100) < 52)) {
        QueueItem& item = *outside.back();
        outside.pop_back();
        item.arrival = step;
        item.deadline =
            pick(10) == 0 ? kNoItemDeadline : static_cast<int64_t>(step + pick(disorder));
        queue.Push(item);
        expected.insert(OrderOf(item));
        inside.push_back(&item);
      } else {
        const size_t any = pick(inside.size());
        QueueItem& item = pick(2) == 0 ? queue.top() : *inside[any];
        std::erase(inside, &item);
        outside.push_back(&item);
        queue.Remove(item);
        expected.erase(OrderOf(item));
      }
    }
  }
}

}  // namespace
}  // namespace penstock::schedule
