// SPDX-License-Identifier: Apache-2.0
// The threads and the time that a manager runs on. The server has real ones (background_threads.h).
// The simulator has one thread, and a clock that it moves itself (background_fake.h).
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/executor.h"
#include "core/lookup.h"

namespace penstock::core {

// Identifies a timed task of a background.
struct TimerId {
  SteadyTime time;
  uint64_t number = 0;

  auto operator<=>(const TimerId&) const = default;
};

// Takes the manager's work off the threads of requests and sources. Thread-safe. The functions
// return at once, and never run a task inside the call. The destructor waits for the loads that
// run; all unloads must be over before.
class Background {
 public:
  virtual ~Background() = default;

  virtual SteadyTime Now() const = 0;
  // Runs `task` at `time` or a little later. Does not run it if the background ends before.
  virtual TimerId RunAt(SteadyTime time, Task task) = 0;
  // Drops a task that has not begun. Does not wait for a task that has.
  virtual void Cancel(const TimerId& timer) = 0;

  // Runs a step of a load on one of the load threads. Steps wait for a free thread in order of
  // arrival. With `continues` the step goes first: its load had a thread before and was just
  // admitted.
  virtual void RunLoad(Task task, bool continues) = 0;
  // Sets how many loads may run at the same time.
  virtual void SetLoadThreads(int threads) = 0;
  // Reports that one more load hangs (+1), so that another may run in its place, or one less (-1).
  virtual void NoteHungLoads(int change) = 0;

  // Frees a snapshot that is not published any more, once nobody searches it.
  virtual void FreeSnapshot(std::unique_ptr<const Snapshot> snapshot) = 0;
  // Destroys a version that is in no published snapshot, once its last handle is gone. Then runs
  // `on_unloaded`. The memory goes back to the OS before that, or soon after.
  virtual void Unload(std::unique_ptr<VersionEntry> entry, Task on_unloaded) = 0;
};

// Makes the background of a manager. `lookup` must outlive it.
using BackgroundFactory = std::function<std::unique_ptr<Background>(SnapshotCell& lookup)>;

}  // namespace penstock::core
