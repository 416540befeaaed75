// SPDX-License-Identifier: Apache-2.0
#include "backends/host/run_queue.h"

#include <utility>
#include <vector>

namespace penstock {

RunQueue::RunQueue(uint32_t runs_max, absl::AnyInvocable<void(HostedRun*) const> start)
    : runs_max_(runs_max), start_(std::move(start)) {}

RunQueue::Entry RunQueue::TakeSlot(HostedRun* run) {
  MutexLock lock(mutex_);
  if (running_ < runs_max_) {
    ++running_;
    return Entry::kStart;
  }
  if (waiting_.size() >= kWaitingMax) {
    ++running_;  // Leave gives it back
    return Entry::kRefused;
  }
  waiting_.push_back(run);
  return Entry::kWaits;
}

HostedRun* RunQueue::GiveSlot() {
  MutexLock lock(mutex_);
  if (waiting_.empty() || running_ > runs_max_) {
    --running_;
    return nullptr;
  }
  HostedRun* const next = waiting_.front();
  waiting_.pop_front();
  return next;
}

void RunQueue::StartNext(HostedRun* run) const {
  // The runs may be of several models: a run that ends can start one of another model.
  using Next = std::pair<const RunQueue*, HostedRun*>;
  thread_local std::vector<Next>* pending = nullptr;
  if (pending != nullptr) {
    pending->emplace_back(this, run);
    return;
  }
  std::vector<Next> mine{{this, run}};
  pending = &mine;
  for (size_t i = 0; i < mine.size(); ++i) {
    const auto [queue, next] = mine[i];
    queue->start_(next);
  }
  pending = nullptr;
}

}  // namespace penstock
