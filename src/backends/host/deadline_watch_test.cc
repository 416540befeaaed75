// SPDX-License-Identifier: Apache-2.0
#include "backends/host/deadline_watch.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <future>
#include <thread>
#include <vector>

namespace penstock {
namespace {

// Counts and tells. Thread-safe.
struct Node final : DeadlineNode {
  Node() {
    passed = [](DeadlineNode* node) {
      auto* self = static_cast<Node*>(node);
      self->calls.fetch_add(1);
      if (self->on_passed) self->on_passed();
      self->told.set_value();
    };
  }
  std::atomic<int> calls{0};
  std::function<void()> on_passed;
  std::promise<void> told;
};

SteadyTime In(Duration time) { return Clock::Real().Now() + time; }

TEST(DeadlineWatchTest, FiresPassedDeadlines) {
  DeadlineWatch watch;
  Node past;
  past.deadline = In(-std::chrono::hours(1));
  Node soon;
  soon.deadline = In(std::chrono::milliseconds(1));
  watch.Add(past);
  watch.Add(soon);
  past.told.get_future().wait();
  soon.told.get_future().wait();
  EXPECT_GE(Clock::Real().Now(), soon.deadline);
  watch.Remove(past);
  watch.Remove(soon);
  EXPECT_EQ(past.calls, 1);
  EXPECT_EQ(soon.calls, 1);
}

TEST(DeadlineWatchTest, AnEarlierDeadlineIsNotHeldUpByALaterOne) {
  DeadlineWatch watch;
  Node late;
  late.deadline = In(std::chrono::hours(1));
  watch.Add(late);
  for (int round = 0; round < 20; ++round) {
    Node soon;
    soon.deadline = In(std::chrono::microseconds(round * 100));
    watch.Add(soon);
    soon.told.get_future().wait();
    watch.Remove(soon);
  }
  watch.Remove(late);
  EXPECT_EQ(late.calls, 0);
}

TEST(DeadlineWatchTest, ARemovedDeadlineDoesNotFire) {
  DeadlineWatch watch;
  Node removed;
  removed.deadline = In(std::chrono::hours(1));
  watch.Add(removed);
  watch.Remove(removed);
  Node never_added;
  watch.Remove(never_added);
  Node after;
  after.deadline = In({});
  watch.Add(after);
  after.told.get_future().wait();
  watch.Remove(after);
  EXPECT_EQ(removed.calls, 0);
}

TEST(DeadlineWatchTest, RemoveWaitsForTheCallThatRuns) {
  DeadlineWatch watch;
  Node node;
  std::promise<void> started;
  std::promise<void> may_end;
  std::atomic<bool> ended{false};
  node.on_passed = [&] {
    started.set_value();
    may_end.get_future().wait();
    ended = true;
  };
  node.deadline = In({});
  watch.Add(node);
  started.get_future().wait();
  std::thread releaser([&] { may_end.set_value(); });
  watch.Remove(node);
  EXPECT_TRUE(ended);
  releaser.join();
}

TEST(DeadlineWatchTest, RemoveFromWithinTheCallDoesNotWait) {
  DeadlineWatch watch;
  Node node;
  node.on_passed = [&] { watch.Remove(node); };
  node.deadline = In({});
  watch.Add(node);
  node.told.get_future().wait();
  watch.Remove(node);
  EXPECT_EQ(node.calls, 1);
}

TEST(DeadlineWatchTest, ManyThreadsAddAndRemove) {
  DeadlineWatch watch;
  std::vector<std::thread> threads;
  std::atomic<int> fired{0};
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < 500; ++round) {
        Node node;
        node.deadline = In(std::chrono::microseconds((round * 7 + thread) % 50));
        watch.Add(node);
        if (round % 2 == 0) node.told.get_future().wait();
        watch.Remove(node);
        ASSERT_LE(node.calls, 1);
        fired += node.calls;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(fired, 1000);
}

}  // namespace
}  // namespace penstock
