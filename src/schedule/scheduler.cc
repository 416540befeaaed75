// SPDX-License-Identifier: Apache-2.0
#include "schedule/scheduler.h"

#include <iterator>
#include <utility>

namespace penstock::schedule {
namespace {

SlotPoolOptions ComputeOptions(const SchedulerOptions& options) {
  return {.thread_name = "compute",
          .nice = options.compute_nice,
          .limits = {.slots = options.compute_slots,
                     .items_max = options.queue_requests_max,
                     .bytes_max = options.queue_bytes_max,
                     .refuses_late = options.refuse_by_deadline},
          .threads = options.threads,
          .cpus = options.cpus};
}

SlotPoolOptions BlockingOptions(const SchedulerOptions& options) {
  SlotPoolOptions pool = ComputeOptions(options);
  pool.thread_name = "blocking";
  pool.nice = 0;
  pool.limits.slots = options.blocking_slots;
  pool.cpus = 0;
  // Most servers have no such model, so its threads start late.
  if (pool.threads == PoolThreads::kAtOnce) pool.threads = PoolThreads::kOnDemand;
  return pool;
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, const Clock& clock)
    : options_(options),
      compute_(ComputeOptions(options), clock),
      blocking_(BlockingOptions(options), clock),
      common_(std::make_unique<ModelQueue>("", false, compute_, ModelLimits())) {}

// A thread ends a run after the run has answered. So it may still use the queue of a model whose
// last request has its answer: the threads must end before the queues are destroyed.
Scheduler::~Scheduler() {
  compute_.Stop();
  blocking_.Stop();
}

ModelLimits Scheduler::LimitsOf(std::string_view model) const {
  const auto found = limits_.find(model);
  return found == limits_.end() ? options_.model : found->second;
}

std::shared_ptr<ModelQueue> Scheduler::FindQueue(const Key& key) {
  MutexLock lock(mutex_);
  std::shared_ptr<ModelQueue>& queue = queues_[key];
  if (queue == nullptr) {
    queue = std::make_shared<ModelQueue>(key.model, key.may_block,
                                         key.may_block ? blocking_ : compute_, LimitsOf(key.model));
  }
  return queue;
}

void Scheduler::SetModels(std::map<std::string, ModelLimits, std::less<>> models) {
  MutexLock lock(mutex_);
  limits_ = std::move(models);
  // A queue whose model is gone goes with its last user.
  for (auto entry = queues_.begin(); entry != queues_.end();) {
    const auto& [key, queue] = *entry;
    const bool is_gone = !limits_.contains(key.model) && queue.use_count() == 1 && queue->IsIdle();
    entry = is_gone ? queues_.erase(entry) : std::next(entry);
  }
  for (const auto& [key, queue] : queues_) queue->SetLimits(LimitsOf(key.model));
}

void Scheduler::StopGathering() {
  compute_.StopGathering();
  blocking_.StopGathering();
}

std::vector<QueueState> Scheduler::States() const {
  MutexLock lock(mutex_);
  std::vector<QueueState> states;
  states.reserve(queues_.size());
  for (const auto& [key, queue] : queues_) states.push_back(queue->State());
  return states;
}

uint64_t Scheduler::queue_length() const {
  return compute_.Inspect([](const FairQueue& queue) { return queue.items(); });
}

uint32_t Scheduler::slots_allowed() const {
  return compute_.Inspect([](const FairQueue& queue) { return queue.slots(); });
}

uint32_t Scheduler::slots_taken() const {
  return compute_.Inspect([](const FairQueue& queue) { return queue.slots_taken(); });
}

QueueStates ModelQueueStates(const Scheduler& scheduler) {
  QueueStates sums;
  for (const QueueState& state : scheduler.States()) {
    const auto [found, is_new] = sums.try_emplace(state.model, state);
    if (is_new) continue;
    found->second.requests += state.requests;
    found->second.bytes += state.bytes;
    found->second.runs += state.runs;
  }
  return sums;
}

}  // namespace penstock::schedule
