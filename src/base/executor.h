// SPDX-License-Identifier: Apache-2.0
// Runs tasks: on a pool of threads, or in the caller itself for tests.
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

// Runs tasks. Tasks may run in any order and at the same time. They must not throw. Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;
  // Returns false if the queue is full or the executor is stopping; `task` is then never run, and
  // is destroyed before this returns. The caller must answer whoever waits for it.
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

// The options of a ThreadPool. The queue is bounded, so that a stalled pool refuses work instead of
// taking all memory.
struct ThreadPoolOptions {
  std::string name;  // of the threads, as top shows it; the first 15 characters count
  int threads = 1;
  size_t queue_tasks_max = 10'000;
  int nice = 0;  // OS priority of the threads: 0 normal, 19 lowest
};

// A fixed number of threads with one bounded FIFO queue.
//
//   ThreadPool pool({.name = "compute", .threads = UsableCpus()});
//   if (!pool.Submit([...] { ... })) return Unavailable();
//
// Idle threads sleep. The destructor runs all queued tasks and joins the threads, so it must not
// run on one of them. Thread-safe.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(ThreadPoolOptions options);
  ~ThreadPool() override;

  [[nodiscard]] bool Submit(Task task) override EXCLUDES(mutex_);
  // The tasks that wait for a thread.
  size_t queue_length() EXCLUDES(mutex_);

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

// Names the calling thread, for top and debuggers.
void SetThreadName(const std::string& name);

// Lowers the OS priority of the calling thread to `nice`: 0 normal, 19 lowest. Does not raise it if
// it is lower already. Threads that it starts inherit the priority.
void SetThreadNice(int nice);

// Sets the time slice of the calling thread, and of the threads that it starts: how long it runs
// before another thread that wants the CPU gets its turn. With the usual slice a thread of low
// priority delays a request by 3 ms. No effect on Linux before 6.12, which has one value for all
// threads.
void SetThreadSlice(Duration slice);

}  // namespace penstock
