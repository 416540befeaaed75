// SPDX-License-Identifier: Apache-2.0
// Calls back when deadlines pass. Cheap for the many that are taken back before: no wake-up, no
// lock that all threads share.
#pragma once

#include <array>
#include <atomic>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace penstock {

// One deadline; a part of what it belongs to. Guarded by the watch while it is added.
struct DeadlineNode {
  SteadyTime deadline = kNoDeadline;
  void (*passed)(DeadlineNode* node) = nullptr;  // called on the watch's thread, without a lock
  DeadlineNode* previous = nullptr;
  DeadlineNode* next = nullptr;
  int shard = -1;  // -1: not added
};

// Thread-safe. Empty when destroyed.
class DeadlineWatch final {
 public:
  DeadlineWatch();
  ~DeadlineWatch();

  // Calls `node.passed` once `node.deadline` is over.
  void Add(DeadlineNode& node);
  // After the return `passed` is not running (unless this is called from it) and will not run.
  void Remove(DeadlineNode& node);

 private:
  static constexpr int kShards = 8;
  struct alignas(64) Shard {
    Mutex mutex;
    CondVar fired;
    DeadlineNode list GUARDED_BY(mutex);  // head of a ring
    const DeadlineNode* firing GUARDED_BY(mutex) = nullptr;
  };

  void RunThread();
  // Fires what has passed; returns the earliest deadline that is left.
  SteadyTime Scan(Shard& shard, SteadyTime now);
  static void Unlink(DeadlineNode& node);

  std::array<Shard, kShards> shards_;
  std::atomic<SteadyTime::rep> next_wake_;  // when the thread will look again
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool earlier_ GUARDED_BY(mutex_) = false;  // a deadline was added that comes before next_wake_
  std::thread thread_;
};

}  // namespace penstock
