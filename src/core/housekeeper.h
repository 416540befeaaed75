// SPDX-License-Identifier: Apache-2.0
// Finds out when requests no longer use retired versions and snapshots, and runs timed tasks.
#pragma once

#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "core/background.h"
#include "core/lookup.h"

namespace penstock::core {

// Thread-safe. Its thread sleeps while there is nothing to do. While an unloaded version still has
// handles, the thread checks them every 1 to 50 ms. `lookup` and `unload_pool` must outlive it, and
// the pool must accept every task.
class Housekeeper final {
 public:
  // `nice`: OS priority of the thread.
  Housekeeper(SnapshotCell& lookup, Executor& unload_pool, int nice);
  // Drops timed tasks that are not due. All unloads must be over before.
  ~Housekeeper();

  // Frees a snapshot that is not published any more, once nobody searches it.
  void FreeSnapshot(std::unique_ptr<const Snapshot> snapshot) EXCLUDES(mutex_);
  // Destroys a version that is in no published snapshot, once its last handle is gone, and then
  // runs `on_unloaded`. Both happen on the unload pool. The memory goes back to the OS before that,
  // or soon after while many versions are being unloaded.
  void Unload(std::unique_ptr<VersionEntry> entry, Task on_unloaded) EXCLUDES(mutex_);
  // Runs `task` at `time` or a little later.
  TimerId RunAt(SteadyTime time, Task task) EXCLUDES(mutex_);
  // Drops a task that has not begun.
  void Cancel(const TimerId& timer) EXCLUDES(mutex_);

 private:
  struct Retired {
    std::unique_ptr<VersionEntry> entry;
    Task on_unloaded;
  };

  void RunThread(int nice) EXCLUDES(mutex_);
  // Sleeps until there is something new, a task is due, or the next check of handles is due.
  // Returns false if the thread must stop.
  bool WaitForWork(Duration pause) EXCLUDES(mutex_);
  void RunDueTasks() EXCLUDES(mutex_);
  // Returns true if a version was retired since the last call.
  bool TakeRetired() EXCLUDES(mutex_);
  void UnloadUnused();
  // Gives freed memory back to the OS: at once, or after a pause if it was done shortly before.
  void ReturnMemory() EXCLUDES(mutex_);
  void ReturnMemoryNow() EXCLUDES(mutex_);

  SnapshotCell& lookup_;
  Executor& unload_pool_;

  Mutex mutex_;
  CondVar wake_;
  std::vector<std::unique_ptr<const Snapshot>> snapshots_ GUARDED_BY(mutex_);
  std::vector<Retired> retired_ GUARDED_BY(mutex_);
  std::map<TimerId, Task> timed_ GUARDED_BY(mutex_);
  uint64_t timer_count_ GUARDED_BY(mutex_) = 0;
  SteadyTime next_return_ GUARDED_BY(mutex_);  // no return of memory before this
  bool return_is_timed_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;

  std::vector<Retired> waiting_;  // thread only: retired, and no reader can take a handle
  std::thread thread_;
};

}  // namespace penstock::core
