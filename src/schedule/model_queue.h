// SPDX-License-Identifier: Apache-2.0
// The queue of one model.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/executor.h"
#include "base/status.h"
#include "schedule/slot_pool.h"

namespace penstock::schedule {

// How the requests of one model are scheduled.
struct ModelLimits {
  FlowLimits flow;
  // Also the requests of a cheap model go through the queue, instead of running on an event loop.
  bool queues_always = false;

  bool operator==(const ModelLimits&) const = default;
};

// What a queue holds at one moment.
struct QueueState {
  std::string model;
  bool may_block = false;  // the queue is that of the threads for runs that may block
  uint64_t requests = 0;
  uint64_t bytes = 0;
  uint32_t runs = 0;  // that have begun and not ended
};

// What a queue has room for at one moment.
struct QueueRoom {
  uint32_t runs = 1;               // that may compute at the same time
  uint64_t requests = UINT64_MAX;  // that may enter, by the limits of the model and of the server
  uint64_t bytes = UINT64_MAX;     // of these
};

// The queue of one model, for all of its versions. As an Executor it runs tasks that continue runs
// of the model. Thread-safe. `pool` must outlive it.
class ModelQueue final : public Executor {
 public:
  ModelQueue(std::string name, bool may_block, SlotPool& pool, const ModelLimits& limits);

  const std::string& name() const { return name_; }
  bool queues_always() const { return queues_always_.load(std::memory_order_relaxed); }

  // Queues a request. See SlotPool::Submit.
  [[nodiscard]] Admission Enter(Job& job, CancelToken* cancel) {
    return pool_.Submit(flow_, job, cancel);
  }
  // Takes requests along in a run of this queue. See SlotPool::TakeAlong.
  void TakeAlong(const Lease& lease, absl::FunctionRef<Along(Job&)> ask, std::vector<Job*>& taken) {
    pool_.TakeAlong(lease, ask, taken);
  }
  // The error for a request that Enter has refused because a queue is full or there is no thread,
  // or that has waited too long:
  // UNAVAILABLE, with the numbers, and with the time after which the client should try again.
  Status ErrorOf(Admission refused) const;

  // Runs a task that continues a run of the model. It takes a slot before the queued requests do.
  // Returns false if the server's queue is full.
  [[nodiscard]] bool Submit(Task task) override;

  // True if `lease` is that of a request of this queue.
  bool Owns(const Lease& lease) const { return lease.flow() == &flow_; }

  void SetLimits(const ModelLimits& limits);
  // Sets how many runs at a time the model itself allows; 0: any number. `preferred` is how many it
  // should have if its configuration does not say; 0: any number.
  void SetDeclaredRuns(uint32_t runs_max, uint32_t preferred = 0) {
    pool_.SetDeclaredRuns(flow_, runs_max, preferred);
  }
  // Sets how long requests wait for others, to run together with them.
  void SetGathering(const Gathering& gathering) { pool_.SetGathering(flow_, gathering); }
  // The rows of the requests that wait and may run with others.
  int64_t WaitingRows() const {
    return pool_.Inspect([this](const FairQueue&) { return flow_.waiting_rows(); });
  }
  QueueState State() const;
  QueueRoom Room() const;
  // True if no request waits or runs.
  bool IsIdle() const;

 private:
  std::string DescribeFull(Admission refused, const FairQueue& queue) const;

  const std::string name_;
  const bool may_block_;
  SlotPool& pool_;
  std::atomic<bool> queues_always_;
  Flow flow_;  // belongs to the pool
};

}  // namespace penstock::schedule
