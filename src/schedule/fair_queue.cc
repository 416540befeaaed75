// SPDX-License-Identifier: Apache-2.0
// Start-time fair queueing with several slots (Goyal, Vin, Cheng 1996; Jin, Chase, Kaur 2004).
//
// Each flow has a virtual time: the compute time that its runs have used, divided by its weight. A
// free slot goes to the flow with the least one. So a flow that has used little goes first, and
// flows that always have items get compute time in proportion to their weights.
//
// The cost of a run is known only at its end. If a flow paid then, it could take all slots before
// it pays for the first. So it pays the average cost of its runs at the start, and the difference
// at the end.
//
// A flow without items must not save up time for later. When it gets an item again, its virtual
// time is at least that of the flow that was started last. It keeps a debt, though: a virtual time
// that is later stays. A flow that has items, but has as many runs as it may have, falls behind the
// others too. It keeps as much of that advantage as the runs in the slots explain: the cost of the
// largest one in each slot.
//
// Within a flow the earliest deadline goes first, and then the first that came. But one run in
// kOldestEvery starts the item that came first.
#include "schedule/fair_queue.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/check.h"

namespace penstock::schedule {
namespace {

// The largest recent charge shrinks by this with each run, so that one long run is forgotten.
constexpr double kChargeKept = 0.99;

bool Exceeds(uint64_t used, uint64_t more, uint64_t limit) {
  return limit != 0 && (used > limit || more > limit - used);
}

// As Exceeds. One item may be larger than the limit, if no other one waits: it would never run
// else.
bool ExceedsBytes(uint64_t used, uint64_t more, uint64_t limit) {
  return used > 0 && Exceeds(used, more, limit);
}

}  // namespace

uint32_t Flow::RunsMax() const {
  const uint32_t configured = limits_.runs_max != 0 ? limits_.runs_max : preferred_runs_;
  if (configured == 0 || declared_runs_ == 0) return std::max(configured, declared_runs_);
  return std::min(configured, declared_runs_);
}

bool FairQueue::EarlierFlow::operator()(const Flow& a, const Flow& b) const {
  if (a.limits_.priority != b.limits_.priority) return a.limits_.priority > b.limits_.priority;
  if (a.virtual_time_ != b.virtual_time_) return a.virtual_time_ < b.virtual_time_;
  return a.runs_ < b.runs_;  // until its first run ends, a flow pays nothing
}

double& FairQueue::Now(const Flow& flow) {
  return now_[static_cast<size_t>(flow.limits_.priority - kPriorityMin)];
}

void FairQueue::SetLimits(Flow& flow, const FlowLimits& limits) {
  PENSTOCK_CHECK(limits.priority >= kPriorityMin && limits.priority <= kPriorityMax,
                 "a priority is out of range");
  PENSTOCK_CHECK(limits.weight > 0, "a weight is not positive");
  if (flow.position_ != kInNoHeap) ready_.Remove(flow);
  const bool is_moved = limits.priority != flow.limits_.priority;
  flow.limits_ = limits;
  // The virtual times of two priorities have nothing to do with each other.
  if (is_moved) flow.virtual_time_ = Now(flow);
  Refresh(flow);
}

void FairQueue::SetDeclaredRuns(Flow& flow, uint32_t runs_max, uint32_t preferred) {
  flow.declared_runs_ = runs_max;
  flow.preferred_runs_ = preferred;
  Refresh(flow);
}

bool FairQueue::IsTooLate(const Flow& flow, const QueueItem& item) const {
  if (!limits_.refuses_late || item.time_left == kNoItemDeadline || flow.timed_items_ == 0)
    return false;
  // An item that is clearly earlier than the last ones goes before some of them: nobody knows how
  // many, so it gets its chance.
  if (item.deadline < flow.latest_deadline_ - item.time_left / 8) return false;
  return flow.TimeToAnswer() > kWaitShareMax * static_cast<double>(item.time_left);
}

void FairQueue::SetGathering(Flow& flow, const Gathering& gathering) {
  while (!flow.by_due_.empty()) flow.by_due_.Remove(flow.by_due_.top());
  flow.gathering_ = gathering;
  if (flow.Gathers()) {
    flow.waiting_.ForEach([&flow](QueueItem& item) {
      item.due = flow.DueTimeOf(item);
      flow.by_due_.Push(item);
    });
  }
  Refresh(flow);
}

void FairQueue::StopGathering() {
  gathers_ = false;
  while (!held_.empty()) RefreshHeld(held_.top());
}

int64_t Flow::DueTimeOf(const QueueItem& item) const {
  int64_t delay = gathering_.delay_max;
  if (limits_.late_after != 0) delay = std::min(delay, limits_.late_after / 2);
  if (item.deadline != kNoItemDeadline)
    delay = std::min(delay, std::max<int64_t>(item.deadline - item.entered, 0) / 2);
  return item.entered + delay;
}

Refusal FairQueue::Check(const Flow& flow, const QueueItem& item) const {
  if (item.was_accepted) return Refusal::kNone;
  if (Exceeds(items_, 1, limits_.items_max)) return Refusal::kQueueItems;
  if (ExceedsBytes(bytes_, item.bytes, limits_.bytes_max)) return Refusal::kQueueBytes;
  if (item.is_task) return Refusal::kNone;
  if (Exceeds(flow.items(), 1, flow.limits_.items_max)) return Refusal::kFlowItems;
  if (ExceedsBytes(flow.bytes_, item.bytes, flow.limits_.bytes_max)) return Refusal::kFlowBytes;
  if (IsTooLate(flow, item)) return Refusal::kTooLate;
  return Refusal::kNone;
}

Refusal FairQueue::Push(Flow& flow, QueueItem& item) {
  PENSTOCK_CHECK(item.flow == nullptr, "an item enters the queue twice");
  if (const Refusal refusal = Check(flow, item); refusal != Refusal::kNone) return refusal;
  if (!item.is_task) flow.bytes_ += item.bytes;
  if (flow.waiting_.empty() && flow.tasks_.empty())
    flow.virtual_time_ = std::max(flow.virtual_time_, Now(flow));
  if (!item.is_task && item.deadline != kNoItemDeadline) {
    const bool is_first = flow.timed_items_++ == 0;
    flow.latest_deadline_ =
        is_first ? item.deadline : std::max(flow.latest_deadline_, item.deadline);
  }
  item.flow = &flow;
  item.is_late = item.was_delayed = false;
  if (!item.was_accepted || item.arrival == 0) item.arrival = arrivals_++;
  flow.ItemsWith(item).Push(item);
  if (!item.is_task) {
    item.older = std::exchange(flow.newest_, &item);
    (item.older == nullptr ? flow.oldest_ : item.older->newer) = &item;
    flow.waiting_rows_ += item.rows;
    if (item.rows == 0) ++flow.lone_items_;
    if (flow.Gathers()) {
      item.due = flow.DueTimeOf(item);
      flow.by_due_.Push(item);
    }
  }
  bytes_ += item.bytes;
  ++items_;
  Refresh(flow);
  return Refusal::kNone;
}

bool FairQueue::Remove(QueueItem& item) {
  if (item.flow == nullptr) return false;
  Flow& flow = *item.flow;
  item.flow = nullptr;
  flow.ItemsWith(item).Remove(item);
  if (!item.is_task) {
    flow.bytes_ -= item.bytes;
    if (item.deadline != kNoItemDeadline) --flow.timed_items_;
    flow.waiting_rows_ -= item.rows;
    if (item.rows == 0) --flow.lone_items_;
    if (item.due_position != kInNoHeap) flow.by_due_.Remove(item);
    QueueItem* const older = std::exchange(item.older, nullptr);
    QueueItem* const newer = std::exchange(item.newer, nullptr);
    (older == nullptr ? flow.oldest_ : older->newer) = newer;
    (newer == nullptr ? flow.newest_ : newer->older) = older;
  }
  bytes_ -= item.bytes;
  --items_;
  Refresh(flow);
  return true;
}

QueueItem* FairQueue::Pop(int64_t now, StartedRun& run) {
  last_pop_ = now;
  if (!held_.empty()) ReleaseDue(now);
  if (!CanPop()) return nullptr;
  Flow& flow = ready_.top();
  run = {.flow = &flow, .charge = 0, .is_task = !flow.tasks_.empty(), .has_slot = true};
  QueueItem& item = run.is_task ? flow.tasks_.top() : NextItem(flow, run);
  Now(flow) = std::max(Now(flow), flow.virtual_time_);
  ++slots_taken_;
  if (item.is_task) {
    ++flow.open_tasks_;
  } else {
    ++flow.runs_;
    run.charge = flow.mean_cost_;
    flow.drain_.OnStart(now, flow.items() > 1);
  }
  drain_.OnStart(now, items_ > 1);
  largest_charge_ = std::max(largest_charge_ * kChargeKept, run.charge / flow.limits_.weight);
  Charge(flow, run.charge);
  Remove(item);
  return &item;
}

void FairQueue::TakeAlong(const StartedRun& run, absl::FunctionRef<Along(QueueItem&)> ask) {
  Flow& flow = *run.flow;
  absl::InlinedVector<QueueItem*, kLeftAlongMax> left;
  QueueItem* next_oldest = flow.oldest_;
  while (!flow.waiting_.empty() && left.size() < kLeftAlongMax) {
    if (run.starts_oldest && next_oldest == nullptr) break;
    QueueItem& item = run.starts_oldest ? *next_oldest : flow.waiting_.top();
    next_oldest = item.newer;
    const Along answer = ask(item);
    if (answer == Along::kStop) break;
    if (answer == Along::kTake) {
      item.is_late = IsLate(flow, item) && flow.limits_.late_action == LateAction::kReject;
      flow.drain_.OnStartTogether(flow.items() > 1);
      drain_.OnStartTogether(items_ > 1);
      Remove(item);
    } else {
      flow.waiting_.Remove(item);
      left.push_back(&item);
    }
  }
  for (QueueItem* item : left) flow.waiting_.Push(*item);
  Refresh(flow);
}

void FairQueue::ReleaseSlot(StartedRun& run) {
  if (!run.has_slot) return;
  run.has_slot = false;
  --slots_taken_;
}

void FairQueue::End(StartedRun& run, double cost) {
  PENSTOCK_CHECK(run.flow != nullptr, "a run ends twice");
  ReleaseSlot(run);
  Flow& flow = *run.flow;
  run.flow = nullptr;
  const bool was_capped = !flow.MayStart() && !flow.waiting_.empty();
  if (run.is_task) {
    --flow.open_tasks_;
  } else {
    --flow.runs_;
    UpdateAverage(flow.mean_cost_, cost);
  }
  Charge(flow, cost - run.charge);
  if (was_capped && flow.MayStart()) {
    const double kept = largest_charge_ * slots_;
    flow.virtual_time_ = std::max(flow.virtual_time_, Now(flow) - kept);
  }
  Refresh(flow);
}

void FairQueue::Charge(Flow& flow, double cost) {
  flow.virtual_time_ += cost / flow.limits_.weight;
  if (flow.position_ != kInNoHeap) ready_.Update(flow);
}

void FairQueue::Refresh(Flow& flow) {
  if (flow.Gathers() || flow.held_position_ != kInNoHeap) [[unlikely]]
    return RefreshHeld(flow);
  const bool is_ready = flow.position_ != kInNoHeap;
  if (flow.MayStart() == is_ready) return;
  if (is_ready) {
    ready_.Remove(flow);
  } else {
    ready_.Push(flow);
  }
}

void FairQueue::RefreshHeld(Flow& flow) {
  if (flow.held_position_ != kInNoHeap) held_.Remove(flow);
  const bool is_ready = flow.position_ != kInNoHeap;
  const bool may_start = flow.MayStart();
  const int64_t due = !may_start ? kNever : gathers_ ? flow.DueTime() : last_pop_;
  const bool shall_be_ready = may_start && due <= last_pop_;
  if (is_ready && !shall_be_ready) ready_.Remove(flow);
  if (!is_ready && shall_be_ready) ready_.Push(flow);
  if (!may_start || shall_be_ready) return;
  flow.due_ = due;
  held_.Push(flow);
}

void FairQueue::ReleaseDue(int64_t now) {
  while (!held_.empty() && held_.top().due_ <= now) RefreshHeld(held_.top());
}

bool FairQueue::IsLate(const Flow& flow, const QueueItem& item) const {
  const int64_t after = flow.limits_.late_after;
  return after != 0 && !item.was_accepted && last_pop_ - item.entered > after;
}

QueueItem& FairQueue::NextItem(Flow& flow, StartedRun& run) {
  const bool delays =
      flow.limits_.late_after != 0 && flow.limits_.late_action == LateAction::kDelay;
  if (++flow.starts_ % kOldestEvery != 0 || delays) return FirstInTime(flow);
  run.starts_oldest = true;
  flow.oldest_->is_late = IsLate(flow, *flow.oldest_);
  return *flow.oldest_;
}

QueueItem& FairQueue::FirstInTime(Flow& flow) {
  QueueItem* item = &flow.waiting_.top();
  if (flow.limits_.late_after == 0) [[likely]]
    return *item;
  if (flow.limits_.late_action == LateAction::kReject) {
    item->is_late = IsLate(flow, *item);
    return *item;
  }
  while (!item->was_delayed && IsLate(flow, *item)) {
    flow.waiting_.Remove(*item);
    item->was_delayed = true;
    if (item->deadline != kNoItemDeadline) --flow.timed_items_;
    item->deadline = kNoItemDeadline;
    item->arrival = arrivals_++;
    flow.waiting_.Push(*item);
    item = &flow.waiting_.top();
  }
  return *item;
}

}  // namespace penstock::schedule
