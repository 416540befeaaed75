// SPDX-License-Identifier: Apache-2.0
#include "core/demand_queue.h"

#include <algorithm>
#include <utility>

namespace penstock::core {

bool DemandQueue::Add(std::optional<VersionNumber> version, Demand demand) {
  const std::string& model = demand.model;
  Queue& queue = queues_[model];
  // Only now, because to ask each waiter takes time, and a queue that is not full need not be
  // cleaned.
  if (queue.waiters.size() >= waiters_max_) DropGone(model, queue);
  if (queue.waiters.size() >= waiters_max_) {
    Answer(std::move(demand.done),
           Error(StatusCode::kUnavailable,
                 "{} requests wait already until model {} is loaded: try again later",
                 queue.waiters.size(), model));
    return false;
  }
  queue.waiters.push_back({version, std::move(demand.label), demand.deadline,
                           std::move(demand.done), std::move(demand.is_wanted)});
  SetTimer(model, queue, demand.deadline);
  return true;
}

void DemandQueue::DropGone(const std::string& model, Queue& queue) {
  std::vector<Waiter> staying;
  for (Waiter& waiter : queue.waiters) {
    if (!waiter.is_wanted || waiter.is_wanted()) {
      staying.push_back(std::move(waiter));
      continue;
    }
    Answer(std::move(waiter.done), absl::CancelledError("the client has gone"));
  }
  queue.waiters = std::move(staying);
  SetTimer(model, queue, kNoDeadline);
}

void DemandQueue::Settle(const std::string& model, FindAnswer find) {
  const auto found = queues_.find(model);
  if (found == queues_.end() || found->second.waiters.empty()) return;
  Queue& queue = found->second;
  using Wanted = std::pair<std::optional<VersionNumber>, std::string>;  // version and label
  // Many requests wait for the same version, so each answer is computed only once.
  std::map<Wanted, std::optional<Status>> answers;
  std::vector<Waiter> staying;
  bool any_ready = false;
  for (Waiter& waiter : queue.waiters) {
    const auto [answer, is_new] = answers.try_emplace(Wanted(waiter.version, waiter.label));
    if (is_new) answer->second = find(waiter.version, waiter.label);
    if (!answer->second) {
      staying.push_back(std::move(waiter));
      continue;
    }
    any_ready |= answer->second->ok();
    Answer(std::move(waiter.done), *answer->second);
  }
  queue.waiters = std::move(staying);
  SetTimer(model, queue, kNoDeadline);
  if (!any_ready) return;
  // This call comes after the answers in `calls_`, so it runs when all of them have taken their
  // handles.
  ++*queue.answering;
  calls_.push_back([this, answering = queue.answering] { callbacks_.on_answered(answering); });
}

void DemandQueue::Refuse(const std::string& model, const Status& error) {
  const auto found = queues_.find(model);
  if (found == queues_.end()) return;
  Queue& queue = found->second;
  for (Waiter& waiter : std::exchange(queue.waiters, {})) Answer(std::move(waiter.done), error);
  SetTimer(model, queue, kNoDeadline);
}

void DemandQueue::Answer(Done done, Status status) {
  calls_.push_back(
      [done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
}

bool DemandQueue::HasWaiters(const std::string& model) const {
  const auto found = queues_.find(model);
  return found != queues_.end() && !found->second.waiters.empty();
}

bool DemandQueue::IsAnswering(const std::string& model) const {
  const auto found = queues_.find(model);
  return found != queues_.end() && *found->second.answering > 0;
}

void DemandQueue::SetTimer(const std::string& model, Queue& queue, SteadyTime deadline) {
  // A timer that fires too early is cheap: TimeOut finds nothing and sets the next one. So an
  // earlier timer stays, even if its waiter has gone.
  if (!queue.waiters.empty() &&
      (deadline == kNoDeadline || (queue.timer && queue.timer->time <= deadline))) {
    return;
  }
  if (queue.timer) background_.Cancel(*std::exchange(queue.timer, std::nullopt));
  if (queue.waiters.empty()) return;
  queue.timer = background_.RunAt(deadline, [this, model] { callbacks_.on_deadline(model); });
}

void DemandQueue::TimeOut(const std::string& model) {
  const auto found = queues_.find(model);
  if (found == queues_.end()) return;
  Queue& queue = found->second;
  const SteadyTime now = background_.Now();
  SteadyTime next = kNoDeadline;
  std::vector<Waiter> staying;
  for (Waiter& waiter : queue.waiters) {
    if (waiter.deadline > now) {
      next = std::min(next, waiter.deadline);
      staying.push_back(std::move(waiter));
      continue;
    }
    Answer(std::move(waiter.done),
           Error(StatusCode::kDeadlineExceeded,
                 "the deadline passed while model {} was being loaded", model));
  }
  queue.waiters = std::move(staying);
  // This timer has fired, or a new one was set while it waited for the mutex.
  if (queue.timer) background_.Cancel(*std::exchange(queue.timer, std::nullopt));
  SetTimer(model, queue, next);
}

}  // namespace penstock::core
