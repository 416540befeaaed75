// SPDX-License-Identifier: Apache-2.0
// Decides for all models of the server which request computes next.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "schedule/model_queue.h"
#include "schedule/slot_pool.h"

namespace penstock::schedule {

struct SchedulerOptions {
  // The runs that compute at the same time, each on a thread of its own.
  uint32_t compute_slots = 1;
  // The CPUs that the process may use. Then only as many compute slots are allowed as keep them
  // busy: see SlotLimit. 0: all of them, always.
  double cpus = 0;
  // The priority of the threads that compute, for the kernel: 0 normal, 19 lowest.
  int compute_nice = 0;
  // The runs that may block at the same time, each on a thread of its own.
  uint32_t blocking_slots = 64;
  // Requests that wait, and their bytes: for the compute slots, and again for the blocking ones. 0:
  // no limit.
  uint64_t queue_requests_max = 10'000;
  uint64_t queue_bytes_max = 0;
  bool refuse_by_deadline = true;  // see Refusal::kTooLate
  // Of a model that SetModels does not name.
  ModelLimits model = {};
  PoolThreads threads = PoolThreads::kAtOnce;
};

// The queues of models, by the name.
using QueueStates = std::map<std::string, QueueState, std::less<>>;

// Has a queue for each model. Models that compute share the compute slots; models that may block,
// such as remote ones, share other threads, so that they hold no compute slot while they wait.
// Thread-safe.
class Scheduler final {
 public:
  explicit Scheduler(const SchedulerOptions& options, const Clock& clock = Clock::Real());
  ~Scheduler();

  // Returns the queue of a model, and makes it if there is none. A model has two of them if only
  // some of its versions may block.
  std::shared_ptr<ModelQueue> QueueOf(std::string_view model, bool may_block) EXCLUDES(mutex_) {
    return FindQueue({std::string(model), may_block, /*is_of_steps=*/false});
  }
  // The same for a model whose runs are tasks without an end, as the steps of sequences are. In the
  // queue of its requests they would go before each request that waits to be decoded.
  std::shared_ptr<ModelQueue> StepsQueueOf(std::string_view model, bool may_block)
      EXCLUDES(mutex_) {
    return FindQueue({std::string(model), may_block, /*is_of_steps=*/true});
  }
  // Sets the limits of the models that serve, and of no others. Counts at once, also for requests
  // that wait.
  void SetModels(std::map<std::string, ModelLimits, std::less<>> models) EXCLUDES(mutex_);

  // The server stops: no request waits for others any more, because none will come.
  void StopGathering();

  // The queue of requests whose model is not known yet, and of the tasks of backends.
  ModelQueue& common() { return *common_; }
  // For tests without threads.
  size_t RunQueued() { return compute_.RunQueued() + blocking_.RunQueued(); }

  // The state of each queue of the models that have had requests.
  std::vector<QueueState> States() const EXCLUDES(mutex_);
  // The requests and tasks that wait for a compute slot.
  uint64_t queue_length() const;
  // The compute slots that are taken now, and all of them.
  uint32_t slots_taken() const;
  uint32_t slots() const { return options_.compute_slots; }
  // The compute slots that may be taken now: see SlotLimit.
  uint32_t slots_allowed() const;

 private:
  struct Key {
    std::string model;
    bool may_block = false;
    bool is_of_steps = false;
    auto operator<=>(const Key&) const = default;
  };

  std::shared_ptr<ModelQueue> FindQueue(const Key& key) EXCLUDES(mutex_);
  ModelLimits LimitsOf(std::string_view model) const REQUIRES(mutex_);

  const SchedulerOptions options_;
  SlotPool compute_;
  SlotPool blocking_;
  const std::unique_ptr<ModelQueue> common_;
  mutable Mutex mutex_;
  std::map<std::string, ModelLimits, std::less<>> limits_ GUARDED_BY(mutex_);
  std::map<Key, std::shared_ptr<ModelQueue>> queues_ GUARDED_BY(mutex_);
};

// The state of each model that has had requests. A model with several queues gets their sum.
QueueStates ModelQueueStates(const Scheduler& scheduler);

}  // namespace penstock::schedule
