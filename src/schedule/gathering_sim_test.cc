// SPDX-License-Identifier: Apache-2.0
// Runs many random lives of a FairQueue whose flows gather items, refuse or delay late ones, and
// share runs, while the number of slots changes. Checks after every event:
//   - each item leaves the queue once: it starts, shares a run of its flow, or is taken out;
//   - no run begins while as many slots are taken as are allowed;
//   - an item that waits for others starts only when enough rows wait, or one has waited its time;
//   - no item that may start waits while a slot is free;
//   - an item is marked late exactly if it has waited too long, and a delayed one goes last.
// A violated promise prints its seed: see fair_queue_sim_test.cc.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "schedule/fair_queue.h"
#include "schedule/simulation_seeds.h"

namespace penstock::schedule {
namespace {

// A request in the life of a queue that gathers.
struct GatheredItem {
  QueueItem item;  // first, so that an item is its request
  size_t flow = 0;
  int exits = 0;  // how often it left the queue
};

// One flow, and what the test knows of it. One thread at a time.
struct GatheringFlow {
  Flow flow;
  Gathering gathering;
  std::vector<GatheredItem*> waiting;

  int64_t rows() const {
    int64_t sum = 0;
    for (const GatheredItem* each : waiting) sum += each->item.rows;
    return sum;
  }
  // True if its items need not wait for more at `now`.
  bool IsDue(int64_t now) const {
    return gathering.delay_max == 0 || rows() >= gathering.rows ||
           std::ranges::any_of(waiting, [&](const GatheredItem* each) {
             return each->item.rows == 0 || DueTimeOf(each->item) <= now;
           });
  }
  // It must not be late before, nor near its deadline.
  int64_t DueTimeOf(const QueueItem& item) const {
    int64_t delay = gathering.delay_max;
    if (flow.limits().late_after != 0) delay = std::min(delay, flow.limits().late_after / 2);
    if (item.deadline != kNoItemDeadline)
      delay = std::min(delay, (item.deadline - item.entered) / 2);
    return item.entered + delay;
  }
  bool MayStart() const {
    return !waiting.empty() && (flow.RunsMax() == 0 || flow.runs() < flow.RunsMax());
  }
};

// One life. One thread at a time.
class GatheringSimulation {
 public:
  // `forgets_delays` is a mistake that the checks must find: flows do not gather at all.
  explicit GatheringSimulation(uint64_t seed, bool forgets_delays = false)
      : seed_(seed),
        random_(seed),
        slots_max_(static_cast<uint32_t>(Pick(1, 6))),
        queue_({.slots = slots_max_, .refuses_late = false}) {
    const auto flows = static_cast<size_t>(Pick(1, 4));
    for (size_t i = 0; i < flows; ++i) {
      GatheringFlow& each = *flows_.emplace_back(std::make_unique<GatheringFlow>());
      FlowLimits limits;
      limits.late_after = Pick(0, 1) * Pick(5, 60);
      limits.late_action = Pick(0, 1) == 0 ? LateAction::kReject : LateAction::kDelay;
      limits.runs_max = static_cast<uint32_t>(Pick(0, 3));
      queue_.SetLimits(each.flow, limits);
      each.gathering = {.delay_max = Pick(0, 1) * Pick(1, 40), .rows = Pick(2, 12)};
      if (!forgets_delays) queue_.SetGathering(each.flow, each.gathering);
    }
  }

  // Returns the first broken promise; empty: none.
  std::string Run() {
    for (int step = 0; step < 300 && error_.empty(); ++step) {
      now_ += Pick(0, 6);
      for (int64_t n = Pick(0, 3); n > 0; --n) Enter();
      if (Pick(0, 9) == 0) TakeOut();
      if (Pick(0, 9) == 0) queue_.SetSlots(static_cast<uint32_t>(Pick(1, slots_max_)));
      EndSome();
      Dispatch();
    }
    queue_.SetSlots(slots_max_);
    for (int i = 0; i < 10'000 && error_.empty() && queue_.items() + runs_.size() > 0; ++i) {
      now_ += 10;
      EndSome();
      Dispatch();
    }
    for (const GatheredItem& each : items_)
      Check(each.exits == 1, "an item is lost, or left twice");
    for (const auto& each : flows_) Check(each->flow.is_idle(), "a flow is not idle at the end");
    return error_;
  }

 private:
  int64_t Pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  void Check(bool condition, std::string_view what) {
    if (!condition && error_.empty()) error_ = fmt::format("seed {}: {}", seed_, what);
  }

  void Enter() {
    GatheredItem& each = items_.emplace_back();
    each.flow = static_cast<size_t>(Pick(0, static_cast<int64_t>(flows_.size()) - 1));
    each.item.entered = now_;
    each.item.rows = Pick(0, 9) == 0 ? 0 : Pick(1, 4);
    if (Pick(0, 1) == 0) each.item.deadline = now_ + Pick(1, 200);
    Check(queue_.Push(flows_[each.flow]->flow, each.item) == Refusal::kNone, "it was refused");
    flows_[each.flow]->waiting.push_back(&each);
  }

  void Leave(QueueItem& item) {
    auto& each = reinterpret_cast<GatheredItem&>(item);
    ++each.exits;
    Check(std::erase(flows_[each.flow]->waiting, &each) == 1, "an item leaves twice");
  }

  void TakeOut() {
    if (items_.empty()) return;
    GatheredItem& each =
        items_[static_cast<size_t>(Pick(0, static_cast<int64_t>(items_.size()) - 1))];
    const bool waits = each.exits == 0;
    Check(queue_.Remove(each.item) == waits, "Remove is wrong about what waits");
    if (waits) Leave(each.item);
  }

  void EndSome() {
    for (int64_t n = Pick(0, 3); n > 0 && !runs_.empty(); --n) {
      queue_.End(runs_.front(), static_cast<double>(Pick(1, 50)));
      runs_.pop_front();
    }
  }

  void Dispatch() {
    for (;;) {
      const bool had_slot = queue_.slots_taken() < queue_.slots();
      std::vector<bool> was_due;
      for (const auto& each : flows_) was_due.push_back(each->IsDue(now_));
      StartedRun run;
      QueueItem* const item = queue_.Pop(now_, run);
      if (item == nullptr) break;
      Check(had_slot, "a run begins without a slot");
      const size_t flow = reinterpret_cast<GatheredItem*>(item)->flow;
      Check(was_due[flow], "an item does not wait for others");
      CheckLate(*flows_[flow], *item);
      Leave(*item);
      queue_.TakeAlong(run, [&](QueueItem& other) {
        if (other.rows == 0 || Pick(0, 4) == 0) return Along::kLeave;
        Check(reinterpret_cast<GatheredItem&>(other).flow == flow, "a run takes another flow's");
        Leave(other);
        return Along::kTake;
      });
      runs_.push_back(run);
    }
    if (queue_.slots_taken() >= queue_.slots()) return;
    for (const auto& each : flows_)
      Check(!each->MayStart() || !each->IsDue(now_), "an item waits although it may start");
  }

  void CheckLate(const GatheringFlow& of, const QueueItem& item) {
    const FlowLimits& limits = of.flow.limits();
    const bool is_late = limits.late_after != 0 && now_ - item.entered > limits.late_after;
    Check(item.is_late == (is_late && limits.late_action == LateAction::kReject),
          "it is marked late without need, or not marked");
    if (limits.late_action != LateAction::kDelay || !item.was_delayed) return;
    for (const GatheredItem* other : of.waiting)
      Check(&other->item == &item || other->item.was_delayed ||
                other->item.deadline == kNoItemDeadline,
            "a delayed item goes before one with a deadline");
  }

  const uint64_t seed_;
  std::mt19937_64 random_;
  const uint32_t slots_max_;
  FairQueue queue_;
  std::vector<std::unique_ptr<GatheringFlow>> flows_;
  std::deque<GatheredItem> items_;
  std::deque<StartedRun> runs_;
  int64_t now_ = 0;
  std::string error_;
};

TEST(GatheringSimulationTest, EverySeedKeepsThePromises) {
  ExpectAllSeedsHold([](uint64_t seed) { return GatheringSimulation(seed).Run(); });
}

TEST(GatheringSimulationTest, FlowsThatDoNotGatherAreCaught) {
  int caught = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed)
    caught += !GatheringSimulation(seed, /*forgets_delays=*/true).Run().empty();
  EXPECT_GT(caught, 30);
}

}  // namespace
}  // namespace penstock::schedule
