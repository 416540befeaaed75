// SPDX-License-Identifier: Apache-2.0
// The order in which requests get the compute slots. Pure: it has no clock, no lock and no thread,
// so that tests run it in virtual time. See the top of fair_queue.cc for how it decides.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/functional/function_ref.h"
#include "schedule/drain_meter.h"
#include "schedule/indexed_heap.h"
#include "schedule/item_queue.h"
#include "schedule/queue_item.h"

namespace penstock::schedule {

inline constexpr int kPriorityMin = -10;
inline constexpr int kPriorityMax = 10;
inline constexpr double kWeightMin = 0.01;
inline constexpr double kWeightMax = 100;

// What happens to an item that has waited too long, when its turn comes.
enum class LateAction : uint8_t {
  kReject,  // it leaves the queue as any other, and is marked
  kDelay,   // it goes to the end of its flow
};

// How the requests of one model are treated. A limit of zero means that there is none.
struct FlowLimits {
  double weight = 1;       // its share of compute time relative to those of other models
  int priority = 0;        // a higher one always goes first
  uint32_t runs_max = 0;   // at the same time
  uint64_t items_max = 0;  // in the queue
  uint64_t bytes_max = 0;  // in the queue; one item may be larger, if no other one waits
  int64_t late_after = 0;  // an item that has waited longer is late: see LateAction
  LateAction late_action = LateAction::kReject;

  bool operator==(const FlowLimits&) const = default;
};

// Whether the items of a flow wait for others, to start together with them.
struct Gathering {
  int64_t delay_max = 0;  // the longest time that an item waits for others. 0: none does
  int64_t rows = 0;       // when items of so many rows wait, none waits longer

  bool operator==(const Gathering&) const = default;
};

// What limits all models together. Zero means that there is no limit, but for slots.
struct FairQueueLimits {
  uint32_t slots = 1;      // runs that compute at the same time; at least 1
  uint64_t items_max = 0;  // in the queue
  uint64_t bytes_max = 0;  // in the queue; one item may be larger, if no other one waits
  // Refuse what cannot start in time for its deadline, as measured: see Refusal::kTooLate.
  bool refuses_late = true;
};

// Why Push refuses an item.
enum class Refusal : uint8_t {
  kNone,
  kQueueItems,  // the queue has items_max items
  kQueueBytes,
  kFlowItems,  // the flow has as many as its own limit allows
  kFlowBytes,
  // The items that go before it will take more than kWaitShareMax of the time that it has. It would
  // expire in the queue, or start so late that its answer is of no use; and so would all that come
  // after it, since the earliest deadline goes first.
  kTooLate,
};

// What TakeAlong does with an item.
enum class Along : uint8_t {
  kTake,   // the item leaves the queue, and shares the run
  kLeave,  // it waits on
  kStop,   // as kLeave, and so do all items that would start after it
};

// A run that has begun. Keep it until FairQueue::End.
struct StartedRun {
  Flow* flow = nullptr;  // null: it has ended
  double charge = 0;     // the compute time that the flow has paid in advance
  bool is_task = false;
  bool has_slot = false;       // it counts among slots_taken()
  bool starts_oldest = false;  // its item came first, and need not have the earliest deadline
};

// One model's part of the queue. Only FairQueue changes it. Its owner destroys it when it is idle.
// One thread at a time, together with the queue.
class Flow final {
 public:
  const FlowLimits& limits() const { return limits_; }
  // The runs that the limits and the model itself allow at the same time. 0: any number.
  uint32_t RunsMax() const;
  uint64_t items() const { return waiting_.size(); }  // without tasks
  uint64_t bytes() const { return bytes_; }           // of these items
  uint32_t runs() const { return runs_; }             // that have begun and not ended
  double mean_cost() const { return mean_cost_; }     // of a run; 0: none has ended yet
  double virtual_time() const { return virtual_time_; }
  bool is_idle() const { return waiting_.empty() && tasks_.empty() && runs_ + open_tasks_ == 0; }
  // The time in which all of its items will have begun, as measured. 0: unknown.
  double DrainTime() const { return drain_.TimeOf(items()); }
  // The same for its items with a deadline, and the run after them.
  double TimeToAnswer() const { return drain_.TimeOf(timed_items_) + mean_cost_; }
  int64_t waiting_rows() const { return waiting_rows_; }  // of the items that may run with others

 private:
  friend class FairQueue;

  struct EarlierDueItem {
    bool operator()(const QueueItem& a, const QueueItem& b) const { return a.due < b.due; }
  };

  bool IsCapped() const { return RunsMax() != 0 && runs_ >= RunsMax(); }
  bool MayStart() const { return !tasks_.empty() || (!waiting_.empty() && !IsCapped()); }
  ItemQueue& ItemsWith(const QueueItem& item) { return item.is_task ? tasks_ : waiting_; }
  bool Gathers() const { return gathering_.delay_max != 0; }
  // The time from which on its items need not wait for others. REQUIRES: MayStart.
  int64_t DueTime() const {
    if (!Gathers() || !tasks_.empty() || lone_items_ > 0 || waiting_rows_ >= gathering_.rows)
      return std::numeric_limits<int64_t>::min();
    return by_due_.top().due;
  }
  // When this item no longer waits for others. It must not be late before, nor near its deadline.
  int64_t DueTimeOf(const QueueItem& item) const;

  FlowLimits limits_;
  uint32_t declared_runs_ = 0;   // see SetDeclaredRuns
  uint32_t preferred_runs_ = 0;  // see SetDeclaredRuns
  double virtual_time_ = 0;      // compute time used, divided by the weight
  double mean_cost_ = 0;         // moving average
  uint32_t runs_ = 0;
  uint32_t open_tasks_ = 0;  // begun and not ended
  uint64_t bytes_ = 0;
  uint64_t timed_items_ = 0;     // of waiting_, with a deadline
  int64_t latest_deadline_ = 0;  // of these and of those before them. Valid if there are some
  DrainMeter drain_;
  ItemQueue waiting_;
  ItemQueue tasks_;
  Gathering gathering_;
  int64_t waiting_rows_ = 0;
  uint64_t lone_items_ = 0;      // those of waiting_ that run alone
  QueueItem* oldest_ = nullptr;  // of waiting_
  QueueItem* newest_ = nullptr;
  uint32_t starts_ = 0;  // of items that are no tasks
  // waiting_, if it gathers.
  IndexedHeap<QueueItem, &QueueItem::due_position, EarlierDueItem> by_due_;
  int64_t due_ = 0;                     // while it is in the queue's heap of flows that gather
  uint32_t position_ = kInNoHeap;       // in the queue's heap of flows
  uint32_t held_position_ = kInNoHeap;  // in that of flows that gather
};

// Orders the items of several flows. Its owner keeps flows and items, and runs what Pop returns:
//
//   FairQueue queue({.slots = 2});
//   Flow resnet;                                             // for each model
//   queue.SetLimits(resnet, {.weight = 2});
//   QueueItem item;                                          // for each request
//   if (queue.Push(resnet, item) != Refusal::kNone) return;  // the client should try later
//   StartedRun run;                                          // for each item that Pop returns
//   if (QueueItem* next = queue.Pop(now, run)) Start(*next);
//   queue.End(run, cost);  // then Pop again, since a slot is free
//
// A flow and an item must not move or end while they are in the queue, and a flow not before its
// last run has ended. Times and costs are in nanoseconds. All functions that change it take
// O(log n). One thread at a time.
class FairQueue final {
 public:
  explicit FairQueue(FairQueueLimits limits) : limits_(limits), slots_(limits.slots) {}

  // Changes how many runs may compute at the same time. Those above it go on.
  // REQUIRES: 1 <= slots <= limits().slots.
  void SetSlots(uint32_t slots) { slots_ = slots; }

  // Changes the limits of a flow. Items that wait already stay, also over the new limits.
  // REQUIRES: kPriorityMin <= limits.priority <= kPriorityMax, and limits.weight > 0.
  void SetLimits(Flow& flow, const FlowLimits& limits);
  // Sets what the model itself allows: its runs at the same time; 0: any number. `preferred` counts
  // instead of FlowLimits::runs_max if that is 0.
  void SetDeclaredRuns(Flow& flow, uint32_t runs_max, uint32_t preferred = 0);
  // Sets how long the items of a flow wait for others.
  void SetGathering(Flow& flow, const Gathering& gathering);

  // From now on no item waits for others, because none will come.
  void StopGathering();

  // Adds an item, unless that would break a limit. A refused item is as before.
  // REQUIRES: the item is in no queue.
  [[nodiscard]] Refusal Push(Flow& flow, QueueItem& item);
  // Takes an item out that will not run. Returns false if it is not in the queue.
  bool Remove(QueueItem& item);
  // Takes out the item that runs next, and gives it a slot. Null: no slot is free, or no item may
  // start. `now` serves to measure how fast the queue drains, and for items that wait for others
  // or have waited too long. The item is then out of the queue, and `run` stands for it until End.
  QueueItem* Pop(int64_t now, StartedRun& run);
  // Calls `ask` for the items of the flow of `run`, in the order in which they would start (or in
  // which they came, if the run starts the oldest), and takes out those that shall share the run.
  // Tasks are not asked for. Stops after kLeftAlongMax items that were left. The items that it
  // takes cost nothing beyond the cost of the run.
  void TakeAlong(const StartedRun& run, absl::FunctionRef<Along(QueueItem&)> ask);
  static constexpr size_t kLeftAlongMax = 64;
  // One run of a flow in so many starts the item that came first. So an item without a deadline, or
  // with a late one, does not wait for ever while others with early deadlines come.
  static constexpr uint32_t kOldestEvery = 8;
  // True if Pop would return an item, whatever the time is.
  bool CanPop() const { return HasSlot() && !ready_.empty(); }
  // The time from which on Pop may return one more item, because others need not wait longer for
  // more. kNever: none waits for that, or no slot is free.
  int64_t NextDue() const { return held_.empty() || !HasSlot() ? kNever : held_.top().due_; }
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // The run no longer computes, although it has not ended: it waits for its client or its runtime.
  // Its slot is free for another one. May be called again.
  void ReleaseSlot(StartedRun& run);
  // The run has ended. Gives its slot back, and corrects what the flow has paid. `cost`: the
  // compute time that it took. REQUIRES: End was not called for this run.
  void End(StartedRun& run, double cost);

  uint64_t items() const { return items_; }  // with tasks
  uint64_t bytes() const { return bytes_; }
  uint32_t slots() const { return slots_; }
  uint32_t slots_taken() const { return slots_taken_; }
  const FairQueueLimits& limits() const { return limits_; }
  // The time in which all items will have begun, as measured. 0: unknown.
  double DrainTime() const { return drain_.TimeOf(items_); }

 private:
  struct EarlierFlow {
    bool operator()(const Flow& a, const Flow& b) const;
  };
  // The rest is for the run, the way to the client, and the error of what was measured.
  static constexpr double kWaitShareMax = 0.75;  // of the time left
  struct EarlierDue {
    bool operator()(const Flow& a, const Flow& b) const { return a.due_ < b.due_; }
  };
  static constexpr size_t kPriorities = kPriorityMax - kPriorityMin + 1;

  bool HasSlot() const { return slots_taken_ < slots_; }
  // True if the item cannot be answered in time, because others go before it.
  bool IsTooLate(const Flow& flow, const QueueItem& item) const;
  // Returns the limit that the item would break.
  Refusal Check(const Flow& flow, const QueueItem& item) const;
  // The virtual time of the flow that was started last, of those with the priority of `flow`.
  double& Now(const Flow& flow);
  // Lets the flow pay for compute time. A negative cost pays back.
  void Charge(Flow& flow, double cost);
  // Call it when the flow may have become able to start an item, or no longer be.
  void Refresh(Flow& flow);
  // As Refresh, for a flow that gathers.
  void RefreshHeld(Flow& flow);
  // Makes the flows ready whose items have waited long enough for others.
  void ReleaseDue(int64_t now);
  bool IsLate(const Flow& flow, const QueueItem& item) const;
  // The item of the flow that starts next. It has items that are no tasks.
  QueueItem& NextItem(Flow& flow, StartedRun& run);
  // Sends the items that are late to the end of the flow, and returns the one that is now first.
  QueueItem& FirstInTime(Flow& flow);

  const FairQueueLimits limits_;
  IndexedHeap<Flow, &Flow::position_, EarlierFlow> ready_;  // the flows that may start an item
  // The flows that could start an item, but wait for more.
  IndexedHeap<Flow, &Flow::held_position_, EarlierDue> held_;
  int64_t last_pop_ = std::numeric_limits<int64_t>::min();  // its time
  std::array<double, kPriorities> now_{};                   // see Now
  double largest_charge_ = 0;  // of the recent runs, divided by the weights
  uint64_t arrivals_ = 1;      // the next one's number
  bool gathers_ = true;
  uint64_t items_ = 0;
  uint64_t bytes_ = 0;
  uint32_t slots_;
  uint32_t slots_taken_ = 0;
  DrainMeter drain_;
};

}  // namespace penstock::schedule
