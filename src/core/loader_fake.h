// SPDX-License-Identifier: Apache-2.0
// Loaders and servables for tests: they count, block and fail on demand.
#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "core/loader.h"
#include "core/source.h"

namespace penstock::core {

// A gate that is closed until Open is called. It makes a load wait without a sleep, so that a test
// can look at the state meanwhile. It cannot be closed again. Thread-safe.
class FakeGate {
 public:
  void Open() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    open_ = true;
    changed_.NotifyAll();
  }
  void WaitUntilOpen() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (!open_) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = false;
};

// Controls the loaders of one version, and counts their calls. The test and the loaders share it:
//
//   auto plan = std::make_shared<FakePlan>();
//   plan->failures_left = 1;
//   manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
//   ...
//   EXPECT_EQ(plan->loads, 2);   // the failure, and the retry
//   EXPECT_EQ(plan->alive, 1);
//
// Thread-safe.
struct FakePlan {
  // What the loaders shall do. A test may change it while they run.
  std::atomic<int> failures_left{0};  // loads that fail before one succeeds
  std::atomic<uint64_t> estimate{0};
  std::atomic<uint64_t> loaded_estimate{0};  // once loaded; 0: measured, or `estimate`
  std::atomic<uint64_t> load_extra{0};
  std::atomic<bool> throws{false};
  std::atomic<bool> throws_no_exception{false};  // throws a number instead
  std::atomic<bool> estimate_throws{false};
  std::atomic<bool> breaks_at_once{false};  // the servable reports itself broken when it is loaded
  FakeGate* gate = nullptr;                 // if set, a load waits for it
  FakeGate* started = nullptr;              // if set, a load opens it
  // What they have done.
  std::atomic<int> loads{0};
  std::atomic<int> cancels{0};
  std::atomic<int> alive{0};  // servables that exist
};

// Counts its instances in the plan. Thread-safe.
class FakeServable final : public Servable {
 public:
  explicit FakeServable(std::shared_ptr<FakePlan> plan) : plan_(std::move(plan)) { ++plan_->alive; }
  ~FakeServable() override {
    --plan_->alive;
    alive_ = false;
  }
  // If it was destroyed, returns false or makes a sanitizer report an error.
  bool IsAlive() const { return alive_.load(std::memory_order_relaxed); }

  void SetBrokenCallback(BrokenCallback callback) override {
    broken_ = std::move(callback);
    if (plan_->breaks_at_once) Break(absl::DataLossError("broken from the start"));
  }
  // Reports itself broken.
  void Break(Status reason) const { broken_(std::move(reason)); }

 private:
  BrokenCallback broken_;
  const std::shared_ptr<FakePlan> plan_;
  std::atomic<bool> alive_{true};
};

// Does what its FakePlan says. One thread at a time.
class FakeLoader final : public Loader {
 public:
  explicit FakeLoader(std::shared_ptr<FakePlan> plan) : plan_(std::move(plan)) {}

  StatusOr<ResourceEstimate> EstimateResources() override {
    if (plan_->estimate_throws) throw std::runtime_error("broken disk");
    return ResourceEstimate{plan_->estimate, plan_->load_extra};
  }
  StatusOr<ResourceEstimate> ResourcesTaken(const std::optional<MemoryGrowth>& growth) override {
    if (plan_->loaded_estimate > 0) return ResourceEstimate{plan_->loaded_estimate};
    if (growth) return ResourceEstimate{.ram_bytes = growth->bytes, .is_measured = true};
    return EstimateResources();
  }
  void Cancel() override { ++plan_->cancels; }
  StatusOr<std::unique_ptr<Servable>> Load() override {
    ++plan_->loads;
    if (plan_->started != nullptr) plan_->started->Open();
    // Waits without looking at Cancel: it stands for a runtime that cannot be interrupted.
    if (plan_->gate != nullptr) plan_->gate->WaitUntilOpen();
    // Code of a runtime may throw anything.
    if (plan_->throws_no_exception) throw 42;
    if (plan_->throws) throw std::runtime_error("broken library");
    if (plan_->failures_left.load() > 0) {
      --plan_->failures_left;
      return absl::DataLossError("broken file");
    }
    return std::make_unique<FakeServable>(plan_);
  }

 private:
  const std::shared_ptr<FakePlan> plan_;
};

// A version whose loader does what `plan` says. Versions may share a plan.
inline AspiredVersion FakeVersion(int64_t version, std::shared_ptr<FakePlan> plan) {
  return {VersionNumber{version}, std::make_unique<FakeLoader>(std::move(plan))};
}

// Makes a list of aspired versions: `Aspire(FakeVersion(1, plan), ...)`.
template <typename... Versions>
std::vector<AspiredVersion> Aspire(Versions... versions) {
  std::vector<AspiredVersion> list;
  (list.push_back(std::move(versions)), ...);
  return list;
}

}  // namespace penstock::core
