// SPDX-License-Identifier: Apache-2.0
// What waits in a FairQueue.
#pragma once

#include <cstdint>
#include <limits>

#include "schedule/indexed_heap.h"

namespace penstock::schedule {

class Flow;

inline constexpr int64_t kNoItemDeadline = std::numeric_limits<int64_t>::max();

// A request that waits. The owner sets the first five members before Push; the others belong to
// the queue. One thread at a time.
struct QueueItem {
  int64_t deadline = kNoItemDeadline;   // gives the order in the flow
  int64_t time_left = kNoItemDeadline;  // until the deadline, when it enters. The default: unknown
  uint64_t bytes = 0;                   // what it counts against bytes_max
  // A task continues a run that has begun. It needs a slot, but is no run of its own: it starts
  // before the other items of its flow, and FlowLimits do not apply to it. FairQueueLimits do.
  bool is_task = false;
  // It was in a queue before, and comes back with the work that is left. No limits apply to it, and
  // it has its old place.
  bool was_accepted = false;
  // When it began to wait, and how much of a run with others it fills; 0: it runs alone. They only
  // count for Gathering, and the first one for FlowLimits::late_after.
  int64_t entered = 0;
  int64_t rows = 0;

  bool is_late = false;      // set when it leaves the queue: its owner must refuse it
  bool was_delayed = false;  // by LateAction::kDelay

  Flow* flow = nullptr;        // null: it is not in a queue
  uint64_t arrival = 0;        // its number, which decides between equal deadlines; 0: none
  QueueItem* older = nullptr;  // its neighbours in the flow, as they came
  QueueItem* newer = nullptr;
  int64_t due = 0;               // when it no longer waits for others
  QueueItem* earlier = nullptr;  // its neighbours in the list of an ItemQueue
  QueueItem* later = nullptr;
  uint32_t position = kInNoHeap;      // in the heap of an ItemQueue
  uint32_t due_position = kInNoHeap;  // in that of what waits for others
};

}  // namespace penstock::schedule
