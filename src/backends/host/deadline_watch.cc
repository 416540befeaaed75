// SPDX-License-Identifier: Apache-2.0
// Most deadlines are removed before they pass, so Add and Remove must be cheap. The nodes are in
// rings, one for each shard, and a thread uses the shard of its slot; so threads rarely share a
// lock. Rings are not sorted: the watch's thread scans all of them when it wakes. It sleeps until
// the earliest deadline that it has seen (`next_wake_`). Add wakes it only for an earlier one,
// which is rare, because deadlines mostly come in order.
#include "backends/host/deadline_watch.h"

#include <algorithm>

#include "base/executor.h"
#include "base/thread_slot.h"

namespace penstock {

DeadlineWatch::DeadlineWatch() : next_wake_(kNoDeadline.time_since_epoch().count()) {
  for (Shard& shard : shards_) {
    MutexLock lock(shard.mutex);
    shard.list.previous = shard.list.next = &shard.list;
  }
  thread_ = std::thread([this] { RunThread(); });
}

DeadlineWatch::~DeadlineWatch() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
}

void DeadlineWatch::Add(DeadlineNode& node) {
  node.shard = ThreadSlot() % kShards;
  const SteadyTime::rep deadline = node.deadline.time_since_epoch().count();
  Shard& shard = shards_[static_cast<size_t>(node.shard)];
  {
    MutexLock lock(shard.mutex);
    node.previous = &shard.list;
    node.next = shard.list.next;
    node.next->previous = &node;
    shard.list.next = &node;
  }
  // From here on the node may be destroyed. An earlier deadline than all others is rare.
  if (deadline >= next_wake_.load()) return;
  {
    MutexLock lock(mutex_);
    earlier_ = true;
  }
  wake_.NotifyOne();
}

void DeadlineWatch::Remove(DeadlineNode& node) {
  if (node.shard < 0) return;
  Shard& shard = shards_[static_cast<size_t>(node.shard)];
  MutexLock lock(shard.mutex);
  if (node.next != nullptr) Unlink(node);
  // The caller is `passed` itself, or a callback in it: to wait for it would never end.
  if (std::this_thread::get_id() == thread_.get_id()) return;
  while (shard.firing == &node) shard.fired.Wait(shard.mutex);
}

void DeadlineWatch::Unlink(DeadlineNode& node) {
  node.previous->next = node.next;
  node.next->previous = node.previous;
  node.previous = node.next = nullptr;
}

SteadyTime DeadlineWatch::Scan(Shard& shard, SteadyTime now) {
  while (true) {
    DeadlineNode* due = nullptr;
    SteadyTime earliest = kNoDeadline;
    {
      MutexLock lock(shard.mutex);
      for (DeadlineNode* node = shard.list.next; node != &shard.list; node = node->next) {
        if (node->deadline <= now) {
          due = node;
          break;
        }
        earliest = std::min(earliest, node->deadline);
      }
      if (due == nullptr) return earliest;
      Unlink(*due);
      shard.firing = due;
    }
    // Called without the lock, because the callback may add and remove deadlines. `firing` makes
    // Remove wait for it meanwhile.
    due->passed(due);  // may destroy the node
    {
      MutexLock lock(shard.mutex);
      shard.firing = nullptr;
    }
    shard.fired.NotifyAll();
  }
}

void DeadlineWatch::RunThread() {
  SetThreadName("deadlines");
  while (true) {
    // Until the next store every Add wakes this thread, so that no deadline added during the scan
    // is missed.
    next_wake_.store(kNoDeadline.time_since_epoch().count());
    SteadyTime earliest = kNoDeadline;
    const SteadyTime now = Clock::Real().Now();
    for (Shard& shard : shards_) earliest = std::min(earliest, Scan(shard, now));
    MutexLock lock(mutex_);
    if (!earlier_) next_wake_.store(earliest.time_since_epoch().count());
    while (!stopping_ && !earlier_) {
      if (earliest == kNoDeadline) {
        wake_.Wait(mutex_);
      } else if (!wake_.WaitUntil(mutex_, earliest)) {
        break;
      }
    }
    if (stopping_) return;
    earlier_ = false;
  }
}

}  // namespace penstock
