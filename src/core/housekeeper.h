// SPDX-License-Identifier: Apache-2.0
// Finds out when requests no longer use what a manager has retired, and wakes what waits for a
// time.
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

// Thread-safe. Sleeps while there is nothing to do; while handles of an unloaded version live it
// looks at them every 1 to 50 ms. `lookup` and `unload_pool` outlive it; the pool refuses nothing.
class Housekeeper final {
 public:
  // `nice`: OS priority of the thread.
  Housekeeper(SnapshotCell& lookup, Executor& unload_pool, int nice);
  // Drops timed tasks that are not due. Every unload must have been done.
  ~Housekeeper();

  // Frees a snapshot that is no longer published once nobody searches it.
  void FreeSnapshot(std::unique_ptr<const Snapshot> snapshot) EXCLUDES(mutex_);
  // On the unload pool: destroys a version that is in no published snapshot once its last handle is
  // gone, and then runs `on_unloaded`. Its memory goes back to the OS before that or, while many
  // are unloaded, soon after.
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
  // Sleeps until there is something new, a task is due, or it is time to look at handles again.
  // False: stop.
  bool WaitForWork(Duration look_again) EXCLUDES(mutex_);
  void RunDueTasks() EXCLUDES(mutex_);
  // True if there was something new.
  bool TakeRetired() EXCLUDES(mutex_);
  void UnloadUnused();
  // Gives freed memory back to the OS: at once, or a little later if it was done just before.
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
  SteadyTime next_return_ GUARDED_BY(mutex_);  // not before
  bool return_is_timed_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;

  std::vector<Retired> waiting_;  // only on the thread: retired, and no reader can take a handle
  std::thread thread_;
};

}  // namespace penstock::core
