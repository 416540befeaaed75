// SPDX-License-Identifier: Apache-2.0
// Something that runs tasks: a pool of threads, or the caller itself in tests.
#pragma once

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace penstock {

using Task = absl::AnyInvocable<void()>;

// Runs tasks. Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;
  // False if the queue is full or the executor is stopping: `task` then was not and will not be
  // run.
  [[nodiscard]] virtual bool Submit(Task task) = 0;
};

// Runs each task inside Submit. Thread-safe.
class InlineExecutor final : public Executor {
 public:
  bool Submit(Task task) override {
    task();
    return true;
  }
};

struct ThreadPoolOptions {
  std::string name;  // of the threads, as seen in top; at most 15 characters count
  int threads = 1;
  size_t queue_tasks_max = 10'000;
  int nice = 0;  // OS priority of the threads: 0 normal, 19 lowest
};

// A fixed number of threads and one bounded queue, first come first served. Thread-safe. Idle
// threads sleep. The destructor runs what is queued and joins.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(ThreadPoolOptions options);
  ~ThreadPool() override;

  [[nodiscard]] bool Submit(Task task) override EXCLUDES(mutex_);

 private:
  void RunThread();

  const ThreadPoolOptions options_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<Task> queue_ GUARDED_BY(mutex_);
  int idle_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

// Names the calling thread, as seen in top and in a debugger.
void SetThreadName(const std::string& name);

// Lowers the calling thread's OS priority to this: 0 normal, 19 lowest; one that is lower already
// stays. Threads that it starts inherit it.
void SetThreadNice(int nice);

// Asks the kernel to let the calling thread, and those that it starts, run for this time before
// another one that wants the CPU has its turn. The usual 3 ms are how long a thread of low priority
// keeps a request waiting. Linux before 6.12 has one value for all threads: no effect then.
void SetThreadSlice(Duration slice);

}  // namespace penstock
