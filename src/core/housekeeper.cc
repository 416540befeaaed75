// SPDX-License-Identifier: Apache-2.0
// Requests must not wait for the end of a version, so its end has three steps on this thread and
// the unload pool. First, no published snapshot has the version. Second, WaitForReaders returns: no
// request is still searching an older snapshot, so no new handle can appear. Third, the counts of
// its handles agree (lookup.h): no request uses it. Handles give no signal when they go, since that
// would cost each request a shared write, so the thread polls their counts.
#include "core/housekeeper.h"

#include <malloc.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/os/give_way.h"

namespace penstock::core {
namespace {

constexpr Duration kCheckMin = std::chrono::milliseconds(1);
constexpr Duration kCheckMax = std::chrono::milliseconds(50);
// malloc_trim walks through the whole heap. One call for each of thousands of unloads would take
// longer than everything else. So after each call there is a pause, this many times as long as the
// call took.
constexpr int kReturnPause = 10;

}  // namespace

Housekeeper::Housekeeper(SnapshotCell& lookup, Executor& unload_pool, int nice)
    : lookup_(lookup), unload_pool_(unload_pool), thread_([this, nice] { RunThread(nice); }) {}

Housekeeper::~Housekeeper() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
}

void Housekeeper::FreeSnapshot(std::unique_ptr<const Snapshot> snapshot) {
  MutexLock lock(mutex_);
  snapshots_.push_back(std::move(snapshot));
  wake_.NotifyOne();
}

void Housekeeper::Unload(std::unique_ptr<VersionEntry> entry, Task on_unloaded) {
  MutexLock lock(mutex_);
  retired_.push_back({std::move(entry), std::move(on_unloaded)});
  wake_.NotifyOne();
}

TimerId Housekeeper::RunAt(SteadyTime time, Task task) {
  MutexLock lock(mutex_);
  const TimerId timer{time, ++timer_count_};
  timed_.emplace(timer, std::move(task));
  if (timed_.begin()->first == timer) wake_.NotifyOne();  // else it wakes early enough
  return timer;
}

void Housekeeper::Cancel(const TimerId& timer) {
  Task dropped;  // declared first, so that it is destroyed after the mutex is released
  MutexLock lock(mutex_);
  const auto found = timed_.find(timer);
  if (found == timed_.end()) return;
  dropped = std::move(found->second);
  timed_.erase(found);
}

void Housekeeper::RunThread(int nice) {
  SetThreadName("housekeeper");
  SetThreadNice(nice);
  Duration pause = kCheckMin;
  while (WaitForWork(pause)) {
    const bool has_new = TakeRetired();
    UnloadUnused();
    RunDueTasks();
    // Most handles are gone within a millisecond. A long request is checked for less and less
    // often.
    pause = has_new ? kCheckMin : std::min(pause * 2, kCheckMax);
  }
}

bool Housekeeper::WaitForWork(Duration pause) {
  MutexLock lock(mutex_);
  const SteadyTime check_at = waiting_.empty() ? kNoDeadline : Clock::Real().Now() + pause;
  while (snapshots_.empty() && retired_.empty() && !stopping_) {
    const SteadyTime until =
        timed_.empty() ? check_at : std::min(check_at, timed_.begin()->first.time);
    if (until == kNoDeadline) {
      wake_.Wait(mutex_);
    } else if (!wake_.WaitUntil(mutex_, until)) {
      break;
    }
  }
  return !stopping_;
}

bool Housekeeper::TakeRetired() {
  std::vector<std::unique_ptr<const Snapshot>> snapshots;
  std::vector<Retired> retired;
  {
    MutexLock lock(mutex_);
    snapshots.swap(snapshots_);
    retired.swap(retired_);
  }
  if (snapshots.empty() && retired.empty()) return false;
  // After this no reader can take a new handle to a retired version, or searches an old snapshot.
  lookup_.WaitForReaders();
  snapshots.clear();
  for (Retired& item : retired) waiting_.push_back(std::move(item));
  return !retired.empty();
}

void Housekeeper::UnloadUnused() {
  for (Retired& item : waiting_) {
    if (item.entry->HasHandles()) continue;
    std::ignore = unload_pool_.Submit(
        [this, entry = std::move(item.entry), on_unloaded = std::move(item.on_unloaded)]() mutable {
          {
            const GiveWay to_requests;
            entry.reset();
            ReturnMemory();
          }
          on_unloaded();  // not under GiveWay: it calls listeners, which need not expect signals
        });
  }
  std::erase_if(waiting_, [](const Retired& item) { return item.entry == nullptr; });
}

void Housekeeper::ReturnMemory() {
  {
    MutexLock lock(mutex_);
    if (return_is_timed_) return;
    return_is_timed_ = Clock::Real().Now() < next_return_;
    if (return_is_timed_) {
      timed_.emplace(TimerId{next_return_, ++timer_count_}, [this] { ReturnMemoryNow(); });
      wake_.NotifyOne();
      return;
    }
  }
  ReturnMemoryNow();
}

void Housekeeper::ReturnMemoryNow() {
  const SteadyTime start = Clock::Real().Now();
  malloc_trim(0);
  const SteadyTime end = Clock::Real().Now();
  MutexLock lock(mutex_);
  return_is_timed_ = false;
  next_return_ = end + (end - start) * kReturnPause;
}

void Housekeeper::RunDueTasks() {
  std::vector<Task> due;
  {
    MutexLock lock(mutex_);
    const SteadyTime now = Clock::Real().Now();
    while (!timed_.empty() && timed_.begin()->first.time <= now) {
      due.push_back(std::move(timed_.begin()->second));
      timed_.erase(timed_.begin());
    }
  }
  for (Task& task : due) task();
}

}  // namespace penstock::core
