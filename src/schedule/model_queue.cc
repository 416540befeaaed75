// SPDX-License-Identifier: Apache-2.0
#include "schedule/model_queue.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "schedule/retry_hint.h"

namespace penstock::schedule {
namespace {

constexpr int64_t kRetrySecondsMax = 60;

// Runs a task in a slot. Deletes itself. One thread at a time.
class TaskJob final : public Job {
 public:
  explicit TaskJob(Task task) : task_(std::move(task)) { is_task = true; }
  void Start(Lease&) override {
    const std::unique_ptr<TaskJob> own(this);
    task_();
  }
  void Drop() override { delete this; }

 private:
  Task task_;
};

// What is left of a limit. 0: there is none.
uint64_t Left(uint64_t limit, uint64_t used) {
  return limit == 0 ? UINT64_MAX : limit - std::min(limit, used);
}

// The whole seconds in which a queue will have drained.
int64_t RetrySeconds(double drain_ns) {
  return std::clamp(static_cast<int64_t>(std::ceil(drain_ns / 1e9)), int64_t{1}, kRetrySecondsMax);
}

}  // namespace

ModelQueue::ModelQueue(std::string name, bool may_block, SlotPool& pool, const ModelLimits& limits)
    : name_(std::move(name)),
      may_block_(may_block),
      pool_(pool),
      queues_always_(limits.queues_always) {
  pool_.SetLimits(flow_, limits.flow);
}

bool ModelQueue::Submit(Task task) {
  auto job = std::make_unique<TaskJob>(std::move(task));
  if (pool_.Submit(flow_, *job, nullptr) != Admission::kAccepted) return false;
  // The job may have run already. It owns itself.
  std::ignore = job.release();
  return true;
}

void ModelQueue::SetLimits(const ModelLimits& limits) {
  queues_always_.store(limits.queues_always, std::memory_order_relaxed);
  pool_.SetLimits(flow_, limits.flow);
}

QueueState ModelQueue::State() const {
  return pool_.Inspect([this](const FairQueue&) {
    return QueueState{name_, may_block_, flow_.items(), flow_.bytes(), flow_.runs()};
  });
}

QueueRoom ModelQueue::Room() const {
  return pool_.Inspect([this](const FairQueue& queue) {
    const FairQueueLimits& all = queue.limits();
    const FlowLimits& own = flow_.limits();
    const uint32_t runs = flow_.RunsMax();
    return QueueRoom{
        .runs = runs == 0 ? queue.slots() : std::min(runs, queue.slots()),
        .requests =
            std::min(Left(all.items_max, queue.items()), Left(own.items_max, flow_.items())),
        .bytes = std::min(Left(all.bytes_max, queue.bytes()), Left(own.bytes_max, flow_.bytes()))};
  });
}

bool ModelQueue::IsIdle() const {
  return pool_.Inspect([this](const FairQueue&) { return flow_.is_idle(); });
}

Status ModelQueue::ErrorOf(Admission refused) const {
  if (refused == Admission::kNoThread)
    return absl::UnavailableError("the server is busy: it has no thread for the request");
  int64_t seconds = 1;
  std::string text = pool_.Inspect([&](const FairQueue& queue) {
    const bool is_own = refused == Admission::kFlowItems || refused == Admission::kFlowBytes ||
                        refused == Admission::kTooLate || refused == Admission::kWaitedTooLong;
    seconds = RetrySeconds(is_own ? flow_.DrainTime() : queue.DrainTime());
    return DescribeFull(refused, queue);
  });
  Status status = Error(StatusCode::kUnavailable, "{}; try again in {} s", text, seconds);
  SetRetryHint(status, std::chrono::seconds(seconds));
  return status;
}

std::string ModelQueue::DescribeFull(Admission refused, const FairQueue& queue) const {
  switch (refused) {
    case Admission::kQueueItems:
      return fmt::format(
          "the server is busy: {} requests wait for a thread, and no more than {} may wait",
          queue.items(), queue.limits().items_max);
    case Admission::kQueueBytes:
      return fmt::format(
          "the server is busy: {} bytes of requests wait for a thread, and no more than {} may "
          "wait",
          queue.bytes(), queue.limits().bytes_max);
    case Admission::kFlowItems:
      return fmt::format("model {} is busy: {} of its requests wait, and no more than {} may wait",
                         name_, flow_.items(), flow_.limits().items_max);
    case Admission::kFlowBytes:
      return fmt::format(
          "model {} is busy: {} bytes of its requests wait, and no more than {} may wait", name_,
          flow_.bytes(), flow_.limits().bytes_max);
    case Admission::kTooLate:
      return fmt::format(
          "model {} is busy: {} of its requests wait, and will take {:.0f} ms, which is too long "
          "for the deadline",
          name_, flow_.items(), flow_.TimeToAnswer() / 1e6);
    case Admission::kWaitedTooLong:
      return fmt::format("model {} is busy: the request has waited longer than {} us", name_,
                         flow_.limits().late_after / 1000);
    case Admission::kAccepted:
    case Admission::kCancelled:
    case Admission::kNoThread:
      break;
  }
  return "the server is busy";
}

}  // namespace penstock::schedule
