// SPDX-License-Identifier: Apache-2.0
// What a manager runs on: threads and time. The server's are real (background_threads.h); the
// simulator's are one thread and a clock that it moves itself.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/executor.h"
#include "core/lookup.h"

namespace penstock::core {

// Tells a timed task from all others of its background.
struct TimerId {
  SteadyTime time;
  uint64_t number = 0;

  auto operator<=>(const TimerId&) const = default;
};

// Takes the manager's work off the threads of requests and sources. Thread-safe. The functions
// return at once and never run a task inside the call. The destructor waits for the loads that run;
// every unload must have been done.
class Background {
 public:
  virtual ~Background() = default;

  virtual SteadyTime Now() const = 0;
  // Runs `task` at `time` or a little later; never, if that is after the end.
  virtual TimerId RunAt(SteadyTime time, Task task) = 0;
  // Drops a task that has not begun. Does not wait for one that has.
  virtual void Cancel(const TimerId& timer) = 0;

  // Runs a step of a load, on one of the load threads. Steps wait for a free one, first come first
  // served, but `continues` goes first: the load has had a thread and was just admitted.
  virtual void RunLoad(Task task, bool continues) = 0;
  // How many loads may run at a time.
  virtual void SetLoadThreads(int threads) = 0;
  // One load more hangs (+1), so that another may run in its place, or one less (-1).
  virtual void NoteHungLoads(int change) = 0;

  // Frees a snapshot that is no longer published once nobody searches it.
  virtual void FreeSnapshot(std::unique_ptr<const Snapshot> snapshot) = 0;
  // Destroys a version that is in no published snapshot once its last handle is gone, and then runs
  // `on_unloaded`. Its memory goes back to the OS before that or soon after.
  virtual void Unload(std::unique_ptr<VersionEntry> entry, Task on_unloaded) = 0;
};

// Makes a manager's background. `lookup` outlives it.
using BackgroundFactory = std::function<std::unique_ptr<Background>(SnapshotCell& lookup)>;

}  // namespace penstock::core
