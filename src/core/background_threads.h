// SPDX-License-Identifier: Apache-2.0
// The background of a manager on real threads.
#pragma once

#include <memory>

#include "base/clock.h"
#include "base/executor.h"
#include "core/background.h"
#include "core/housekeeper.h"
#include "core/load_pool.h"

namespace penstock::core {

// The number and the priority of the threads. The priority is low, so that a load does not delay
// requests.
struct BackgroundOptions {
  int load_threads = 2;    // at least 1
  int unload_threads = 1;  // at least 1; a version that unloads slowly delays the others
  int nice = 10;           // OS priority of all threads of the background
};

// Runs loads, unloads and timers on its own threads. Thread-safe. The threads sleep while there is
// nothing to do.
class BackgroundThreads final : public Background {
 public:
  BackgroundThreads(BackgroundOptions options, SnapshotCell& lookup);

  SteadyTime Now() const override { return Clock::Real().Now(); }
  TimerId RunAt(SteadyTime time, Task task) override {
    return housekeeper_.RunAt(time, std::move(task));
  }
  void Cancel(const TimerId& timer) override { housekeeper_.Cancel(timer); }
  void RunLoad(Task task, bool continues) override {
    load_pool_.Submit(std::move(task), continues);
  }
  void SetLoadThreads(int threads) override { load_pool_.SetThreads(threads); }
  void NoteHungLoads(int change) override { load_pool_.NoteHung(change); }
  void FreeSnapshot(std::unique_ptr<const Snapshot> snapshot) override {
    housekeeper_.FreeSnapshot(std::move(snapshot));
  }
  void Unload(std::unique_ptr<VersionEntry> entry, Task on_unloaded) override {
    housekeeper_.Unload(std::move(entry), std::move(on_unloaded));
  }

 private:
  // In the order of dependency: loads hand unloads to the housekeeper, which hands unused versions
  // to the unload pool.
  ThreadPool unload_pool_;
  Housekeeper housekeeper_;
  LoadPool load_pool_;
};

}  // namespace penstock::core
