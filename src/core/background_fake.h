// SPDX-License-Identifier: Apache-2.0
// A background for tests, on one thread and a clock that the test moves.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/background.h"

namespace penstock::core {

// The manager only queues tasks here; the test decides which one runs next, and so tries orders
// that real threads would rarely take.
//
//   VirtualBackground* background = nullptr;
//   Manager manager({}, [&](SnapshotCell&) {
//     auto made = std::make_unique<VirtualBackground>();
//     background = made.get();
//     return made;
//   });
//   manager.SetAspired("m", Aspire(FakeVersion(1, plan)));
//   while (background->RunLoadStep() || background->UnloadOne(0)) {}
//
// One thread.
class VirtualBackground final : public Background {
 public:
  SteadyTime Now() const override { return now_; }
  TimerId RunAt(SteadyTime time, Task task) override {
    const TimerId timer{time, ++last_timer_};
    timers_.emplace(timer, std::move(task));
    return timer;
  }
  void Cancel(const TimerId& timer) override { timers_.erase(timer); }
  // In the same order as LoadPool: a step that continues goes first.
  void RunLoad(Task task, bool continues) override {
    if (continues) {
      loads_.push_front(std::move(task));
    } else {
      loads_.push_back(std::move(task));
    }
  }
  void SetLoadThreads(int threads) override { threads_ = threads; }
  void NoteHungLoads(int change) override { hung_ += change; }
  void FreeSnapshot(std::unique_ptr<const Snapshot> snapshot) override {
    snapshots_.push_back(std::move(snapshot));
  }
  void Unload(std::unique_ptr<VersionEntry> entry, Task on_unloaded) override {
    retired_.emplace_back(std::move(entry), std::move(on_unloaded));
  }

  // --- The steps of a test. Each returns false if there was nothing to do.

  // Runs the next step of a load if a thread is free. The test may run other steps while it runs.
  bool RunLoadStep() {
    if (loads_.empty() || running_ >= threads_ + hung_) return false;
    Task task = std::move(loads_.front());
    loads_.pop_front();
    ++running_;
    task();
    --running_;
    return true;
  }
  // Destroys a retired version that has no handles, and searches for it from position `first`.
  bool UnloadOne(size_t first) {
    for (size_t i = 0; i < retired_.size(); ++i) {
      auto& item = retired_[(first + i) % retired_.size()];
      if (item.first->HasHandles()) continue;
      auto [entry, on_unloaded] = std::move(item);
      retired_.erase(retired_.begin() + static_cast<long>((first + i) % retired_.size()));
      entry.reset();
      on_unloaded();
      return true;
    }
    return false;
  }
  // Frees all retired snapshots. With one thread, nobody searches them.
  bool FreeSnapshots() { return !std::exchange(snapshots_, {}).empty(); }
  // Moves the clock, and runs nothing. RunDueTimer then runs the timers that are due, one for each
  // call.
  void Advance(Duration by) { now_ += by; }
  bool AdvanceToNextTimer() {
    if (timers_.empty()) return false;
    now_ = std::max(now_, timers_.begin()->first.time);
    return true;
  }
  bool RunDueTimer() {
    if (timers_.empty() || timers_.begin()->first.time > now_) return false;
    Task task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
    return true;
  }
  int threads() const { return threads_ + hung_; }
  int running() const { return running_; }
  size_t timer_count() const { return timers_.size(); }
  // True if no load and no unload is queued or runs. Timers do not count.
  bool IsQuiet() const { return loads_.empty() && running_ == 0 && retired_.empty(); }

 private:
  SteadyTime now_{std::chrono::hours(1)};
  std::map<TimerId, Task> timers_;
  uint64_t last_timer_ = 0;
  std::deque<Task> loads_;
  std::vector<std::pair<std::unique_ptr<VersionEntry>, Task>> retired_;
  std::vector<std::unique_ptr<const Snapshot>> snapshots_;
  int threads_ = 1;
  int hung_ = 0;
  int running_ = 0;
};

}  // namespace penstock::core
