// SPDX-License-Identifier: Apache-2.0
// The threads that load: as many as are wanted now, and one more for each load that hangs.
#pragma once

#include <deque>
#include <thread>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"

namespace penstock::core {

// Thread-safe. The queue holds one task for each version that shall be loaded, so that the sources'
// lists bound it. The destructor runs what is queued and joins.
class LoadPool final {
 public:
  // `nice`: OS priority of the threads.
  LoadPool(int threads, int nice);
  ~LoadPool();

  // `first`: before what is queued.
  void Submit(Task task, bool first) EXCLUDES(mutex_);
  // At least 1. Threads that are too many end when they are done with their task.
  void SetThreads(int threads) EXCLUDES(mutex_);
  // So many more, or less, of the running tasks do not count as running.
  void NoteHung(int change) EXCLUDES(mutex_);

 private:
  void RunThread() EXCLUDES(mutex_);
  // Starts the threads that are missing, and joins those that have ended.
  void StartMissing() REQUIRES(mutex_);

  const int nice_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<Task> queue_ GUARDED_BY(mutex_);
  int wanted_ GUARDED_BY(mutex_);
  int hung_ GUARDED_BY(mutex_) = 0;
  int alive_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
  std::vector<std::thread::id> ended_ GUARDED_BY(mutex_);  // and are to be joined
};

}  // namespace penstock::core
