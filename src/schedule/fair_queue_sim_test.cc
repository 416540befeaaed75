// SPDX-License-Identifier: Apache-2.0
// Runs many random lives of a FairQueue in virtual time, and checks after every event:
//   - no request is lost, run twice, or run after it was taken out;
//   - no limit is exceeded: slots, runs at a time, items and bytes, of a flow and in total;
//   - no slot is free while an item may start;
//   - flows that have items all the time get compute time by their weights, but for one or two runs
//     in each slot;
//   - a flow that uses little never waits for the start of another flow's run.
// A violated promise prints its seed:
//   PENSTOCK_SIM_SEED=123 build/release/src/schedule/schedule_test --gtest_filter='*Seed*'
//   PENSTOCK_SIM_SEEDS=100000 does the same with more seeds.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "schedule/fair_queue.h"
#include "schedule/simulation_seeds.h"

namespace penstock::schedule {
namespace {

struct SimOptions {
  uint64_t seed = 1;
  // All models share one flow, so they are served in the order of arrival.
  bool is_unfair = false;
};

// One model of the simulation. One thread at a time.
struct SimModel {
  Flow own_flow;
  Flow* flow = nullptr;
  FlowLimits limits;
  double cost_min = 1, cost_max = 1;
  bool is_saturated = false;  // it always has items
  bool is_light = false;      // it uses a small part of its share, with one item at a time
  uint64_t waiting = 0;
  uint64_t waiting_bytes = 0;
  uint32_t running = 0;
  double used = 0;  // compute time of the runs that ended
  double last_start = 0;
};

struct SimRequest {
  QueueItem item;  // first, so that an item is its request
  size_t model = 0;
  enum class State { kWaits, kRuns, kEnded, kTakenOut } state = State::kWaits;
  double arrival = 0, start = 0, cost = 0;
  StartedRun run;
};

// One life. One thread at a time.
class Simulation {
 public:
  explicit Simulation(SimOptions options) : options_(options), random_(options.seed) {
    slots_ = static_cast<uint32_t>(Pick(1, 8));
    limits_ = {.slots = slots_,
               .items_max = Chance(0.5) ? static_cast<uint64_t>(Pick(20, 60)) : 0,
               .bytes_max = Chance(0.3) ? static_cast<uint64_t>(Pick(200, 1000)) : 0};
    queue_.emplace(limits_);
    MakeModels();
  }

  // Returns the first broken promise; empty: none.
  std::string Run() {
    for (int step = 0; step < 400 && error_.empty(); ++step) Step();
    accepts_ = false;
    while (error_.empty() && (!running_.empty() || queue_->items() > 0)) {
      Dispatch();
      if (running_.empty()) return "items wait, but none runs";
      EndOne();
    }
    for (const SimRequest& request : requests_)
      if (request.state == SimRequest::State::kWaits || request.state == SimRequest::State::kRuns)
        Fail("a request is lost");
    for (const auto& model : models_)
      Check(model->flow->is_idle(), "a flow is not idle at the end");
    return error_;
  }

 private:
  double Uniform(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }
  int64_t Pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  bool Chance(double p) { return Uniform(0, 1) < p; }

  void Fail(std::string what) {
    if (error_.empty()) error_ = fmt::format("seed {}: {}", options_.seed, what);
  }
  void Check(bool condition, const char* what) {
    if (!condition) Fail(what);
  }

  void MakeModels() {
    // Half of the lives have one heavy model, which is saturated, and one light one.
    is_light_life_ = Chance(0.5);
    const int64_t count = is_light_life_ ? 2 : Pick(1, 6);
    for (int64_t i = 0; i < count; ++i) {
      SimModel& model = *models_.emplace_back(std::make_unique<SimModel>());
      model.flow = options_.is_unfair ? &models_[0]->own_flow : &model.own_flow;
      model.cost_min = Uniform(0.1, 10) * (Chance(0.3) ? 20 : 1);
      model.cost_max = model.cost_min * (Chance(0.5) ? 1 : Uniform(1, 3));
      model.is_saturated = Chance(0.6);
      model.limits.weight = Chance(0.5) ? 1 : Uniform(0.2, 5);
      if (is_light_life_) {
        model.is_saturated = i == 0;
        model.is_light = i == 1;
        model.limits.weight = 1;
        model.cost_min = model.cost_max = i == 0 ? 20 : 1;
        limits_.items_max = limits_.bytes_max = 0;
        queue_.emplace(limits_);
      } else if (!options_.is_unfair) {
        if (Chance(0.2)) model.limits.priority = static_cast<int>(Pick(-1, 1));
        if (Chance(0.3)) model.limits.runs_max = static_cast<uint32_t>(Pick(1, 4));
        if (Chance(0.3)) model.limits.items_max = static_cast<uint64_t>(Pick(3, 20));
        if (Chance(0.3)) model.limits.bytes_max = static_cast<uint64_t>(Pick(50, 200));
      }
      if (!options_.is_unfair) queue_->SetLimits(*model.flow, model.limits);
    }
    const size_t pairs = models_.size() * models_.size();
    since_.resize(pairs);
  }

  void Step() {
    for (size_t i = 0; i < models_.size(); ++i) Feed(i);
    if (Chance(0.1)) TakeOutOne();
    Dispatch();
    CheckFairness();
    if (running_.empty()) {
      now_ += Uniform(0, 5);
      return;
    }
    EndOne();
    CheckFairness();
  }

  void Feed(size_t i) {
    SimModel& model = *models_[i];
    if (model.is_saturated) {
      while (model.waiting < slots_ + 2 && Push(i)) {
      }
    } else if (model.is_light) {
      if (model.waiting + model.running == 0 && Chance(0.3)) Push(i);
    } else {
      for (int64_t n = Chance(0.2) ? Pick(1, 10) : 0; n > 0; --n) Push(i);
    }
  }

  bool Push(size_t i) {
    if (!accepts_) return false;
    SimModel& model = *models_[i];
    SimRequest& request = requests_.emplace_back();
    request.model = i;
    request.cost = Uniform(model.cost_min, model.cost_max);
    request.item.bytes = static_cast<uint64_t>(Pick(0, 20));
    if (Chance(0.3)) request.item.deadline = Pick(0, 1000);
    if (request.item.deadline != kNoItemDeadline && !model.is_saturated && Chance(0.5))
      request.item.time_left = Pick(1, 1000);
    request.arrival = now_;
    const uint64_t items = queue_->items();
    const Refusal refusal = queue_->Push(*model.flow, request.item);
    if (refusal != Refusal::kNone) {
      CheckRefusal(model, request, refusal, items);
      requests_.pop_back();
      return false;
    }
    ++model.waiting;
    model.waiting_bytes += request.item.bytes;
    CheckLimits();
    return true;
  }

  void CheckRefusal(const SimModel& model, const SimRequest& request, Refusal refusal,
                    uint64_t items) {
    const uint64_t bytes = request.item.bytes;
    switch (refusal) {
      case Refusal::kQueueItems:
        return Check(items >= limits_.items_max, "refused below the limit of items");
      case Refusal::kQueueBytes:
        return Check(queue_->bytes() + bytes > limits_.bytes_max, "refused below the bytes");
      case Refusal::kFlowItems:
        return Check(model.waiting >= model.limits.items_max, "refused below the flow's items");
      case Refusal::kFlowBytes:
        return Check(model.waiting_bytes + bytes > model.limits.bytes_max,
                     "refused below the flow's bytes");
      case Refusal::kTooLate:
        return Check(model.waiting > 0 && request.item.time_left != kNoItemDeadline,
                     "refused for its deadline without need");
      case Refusal::kNone:
        break;
    }
  }

  void CheckLimits() {
    uint64_t items = 0, bytes = 0, running = 0;
    for (const auto& model : models_) {
      const FlowLimits& limits = model->limits;
      Check(limits.runs_max == 0 || model->running <= limits.runs_max, "too many runs of a flow");
      Check(limits.items_max == 0 || model->waiting <= limits.items_max,
            "too many items of a flow");
      Check(limits.bytes_max == 0 || model->waiting_bytes <= limits.bytes_max,
            "too many bytes of a flow");
      items += model->waiting;
      bytes += model->waiting_bytes;
      running += model->running;
    }
    Check(running == running_.size() && running <= slots_, "too many runs");
    Check(queue_->items() == items && queue_->bytes() == bytes, "items or bytes are miscounted");
    Check(limits_.items_max == 0 || items <= limits_.items_max, "too many items");
    Check(limits_.bytes_max == 0 || bytes <= limits_.bytes_max, "too many bytes");
  }

  void TakeOutOne() {
    if (requests_.empty()) return;
    SimRequest& request =
        requests_[static_cast<size_t>(Pick(0, static_cast<int64_t>(requests_.size()) - 1))];
    const bool waits = request.state == SimRequest::State::kWaits;
    Check(queue_->Remove(request.item) == waits, "Remove is wrong about what waits");
    if (!waits) return;
    request.state = SimRequest::State::kTakenOut;
    Leave(request);
  }

  void Leave(const SimRequest& request) {
    --models_[request.model]->waiting;
    models_[request.model]->waiting_bytes -= request.item.bytes;
  }

  void Dispatch() {
    for (;;) {
      StartedRun run;
      QueueItem* const item = queue_->Pop(static_cast<int64_t>(now_), run);
      if (item == nullptr) break;
      SimRequest& request = *reinterpret_cast<SimRequest*>(item);
      Check(request.state == SimRequest::State::kWaits, "a request runs twice or was taken out");
      SimModel& model = *models_[request.model];
      for (const auto& other : models_)
        Check(!model.is_light || other.get() == &model || other->last_start <= request.arrival,
              "a light model waits for more than the runs that had begun");
      Leave(request);
      request.state = SimRequest::State::kRuns;
      request.start = now_;
      request.run = run;
      model.last_start = now_;
      ++model.running;
      running_.push_back(&request);
      CheckLimits();
    }
    if (running_.size() == slots_) return;
    for (const auto& model : models_) {
      const bool may_start = model->limits.runs_max == 0 || model->running < model->limits.runs_max;
      Check(model->waiting == 0 || !may_start, "a slot is free although an item may start");
    }
  }

  void EndOne() {
    const auto next = std::min_element(running_.begin(), running_.end(),
                                       [](const SimRequest* a, const SimRequest* b) {
                                         return a->start + a->cost < b->start + b->cost;
                                       });
    SimRequest& request = **next;
    running_.erase(next);
    now_ = request.start + request.cost;
    request.state = SimRequest::State::kEnded;
    SimModel& model = *models_[request.model];
    --model.running;
    model.used += request.cost;
    queue_->End(request.run, request.cost);
  }

  // The compute time that a model has used until now, divided by its weight.
  double Service(size_t i) const {
    double used = models_[i]->used;
    for (const SimRequest* request : running_)
      if (request->model == i) used += now_ - request->start;
    return used / models_[i]->limits.weight;
  }

  // True if the cost of the model's runs was known when those that run now started.
  bool HasPaid(size_t i) const {
    return std::ranges::all_of(running_, [&](const SimRequest* request) {
      return request->model != i || request->run.charge > 0;
    });
  }

  // True if neither model owes more than a run to the other. A model whose cost was not known when
  // it took several slots owes more, for a while.
  static bool AreEven(const SimModel& a, const SimModel& b) {
    const double difference = a.flow->virtual_time() - b.flow->virtual_time();
    return difference <= a.cost_max / a.limits.weight &&
           -difference <= b.cost_max / b.limits.weight;
  }

  // For each pair of models that have had items since some time: the difference of their services
  // may vary only by the runs that are in the slots.
  void CheckFairness() {
    std::vector<double> service(models_.size());
    for (size_t i = 0; i < models_.size(); ++i) service[i] = Service(i);
    for (size_t i = 0; i < models_.size(); ++i) {
      for (size_t k = i + 1; k < models_.size(); ++k) {
        std::optional<Range>& range = since_[i * models_.size() + k];
        const SimModel &a = *models_[i], &b = *models_[k];
        const bool counts = a.waiting > 0 && b.waiting > 0 && a.limits.runs_max == 0 &&
                            b.limits.runs_max == 0 && a.limits.priority == b.limits.priority;
        if (!counts) {
          range.reset();
          continue;
        }
        const double difference = service[i] - service[k];
        if (!range) {
          if (!HasPaid(i) || !HasPaid(k) || !AreEven(a, b)) continue;
          range = {difference, difference};
        }
        range->low = std::min(range->low, difference);
        range->high = std::max(range->high, difference);
        const double run = a.cost_max / a.limits.weight + b.cost_max / b.limits.weight;
        // If costs vary, what the runs in the slots have paid may be wrong by as much again.
        const bool is_exact = a.cost_min == a.cost_max && b.cost_min == b.cost_max;
        const double bound = run * ((is_exact ? 1 : 2) * slots_ + 1);
        if (range->high - range->low > bound)
          Fail(fmt::format("models {} and {}: services differ by {}, the bound is {}", i, k,
                           range->high - range->low, bound));
      }
    }
  }

  struct Range {
    double low, high;
  };

  const SimOptions options_;
  std::mt19937_64 random_;
  uint32_t slots_ = 1;
  FairQueueLimits limits_;
  std::optional<FairQueue> queue_;
  std::vector<std::unique_ptr<SimModel>> models_;
  std::deque<SimRequest> requests_;
  std::vector<SimRequest*> running_;
  std::vector<std::optional<Range>> since_;
  bool is_light_life_ = false;
  bool accepts_ = true;
  double now_ = 0;
  std::string error_;
};

TEST(FairQueueSimulationTest, EverySeedKeepsThePromises) {
  ExpectAllSeedsHold([](uint64_t seed) { return Simulation({.seed = seed}).Run(); });
}

TEST(FairQueueSimulationTest, QueueInOrderOfArrivalIsCaught) {
  int caught = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed)
    caught += !Simulation({.seed = seed, .is_unfair = true}).Run().empty();
  EXPECT_GT(caught, 30);
}

}  // namespace
}  // namespace penstock::schedule
