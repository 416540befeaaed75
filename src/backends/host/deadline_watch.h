// SPDX-License-Identifier: Apache-2.0
// Calls back when deadlines pass. Deadlines that are removed before cost no wake-up and no lock
// that all threads share.
#pragma once

#include <array>
#include <atomic>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace penstock {

// One deadline, as a part of the object that it belongs to. Guarded by the watch while it is added.
struct DeadlineNode {
  SteadyTime deadline = kNoDeadline;
  void (*passed)(DeadlineNode* node) = nullptr;  // called on the watch's thread, without a lock
  DeadlineNode* previous = nullptr;
  DeadlineNode* next = nullptr;
  int shard = -1;  // -1: not added
};

// Calls back on its own thread. The usual deadline is removed before it passes. So Add and Remove
// only take the lock of one of eight lists, and Add wakes the thread only if the deadline is
// earlier than its next scan. Thread-safe. It must be empty when it is destroyed.
class DeadlineWatch final {
 public:
  DeadlineWatch();
  ~DeadlineWatch();

  // Makes the watch call `node.passed` once `node.deadline` is over.
  void Add(DeadlineNode& node);
  // Removes the node. After this returns, `passed` is not running (unless it is the caller) and
  // will not run.
  void Remove(DeadlineNode& node);

 private:
  // A thread always uses the same shard, so that threads rarely wait for each other.
  static constexpr int kShards = 8;
  struct alignas(64) Shard {
    Mutex mutex;
    CondVar fired;
    DeadlineNode list GUARDED_BY(mutex);  // head of the ring
    const DeadlineNode* firing GUARDED_BY(mutex) = nullptr;
  };

  void RunThread();
  // Calls back for all deadlines that have passed. Returns the earliest one left.
  SteadyTime Scan(Shard& shard, SteadyTime now);
  static void Unlink(DeadlineNode& node);

  std::array<Shard, kShards> shards_;
  std::atomic<SteadyTime::rep> next_wake_;  // when the thread will scan next
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool earlier_ GUARDED_BY(mutex_) = false;  // an added deadline is earlier than next_wake_
  std::thread thread_;
};

}  // namespace penstock
