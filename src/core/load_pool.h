// SPDX-License-Identifier: Apache-2.0
// The threads that load: the wanted number, and one more for each load that hangs.
#pragma once

#include <deque>
#include <thread>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"

namespace penstock::core {

// Thread-safe. The queue holds one task for each version to load, so the lists of the sources bound
// its length. The destructor runs the queued tasks and joins the threads.
class LoadPool final {
 public:
  // `nice`: OS priority of the threads.
  LoadPool(int threads, int nice);
  ~LoadPool();

  // `first`: the task goes to the front of the queue.
  void Submit(Task task, bool first) EXCLUDES(mutex_);
  // At least 1. Surplus threads end after their current task.
  void SetThreads(int threads) EXCLUDES(mutex_);
  // Changes the number of running tasks that hang; a thread that runs one of them is not counted.
  void NoteHung(int change) EXCLUDES(mutex_);

 private:
  void RunThread() EXCLUDES(mutex_);
  // Starts the threads that are missing, and joins the threads that have ended.
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
  std::vector<std::thread::id> ended_ GUARDED_BY(mutex_);  // to be joined
};

}  // namespace penstock::core
