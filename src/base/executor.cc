// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>

namespace penstock {

void SetThreadName(const std::string& name) {
  // Linux refuses longer names.
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

void SetThreadNice(int nice) {
  const id_t thread = static_cast<id_t>(syscall(SYS_gettid));
  // Never raise the priority. Root could, and then loads would run before the requests of a server
  // that was started with a low priority.
  if (getpriority(PRIO_PROCESS, thread) < nice) setpriority(PRIO_PROCESS, thread, nice);
}

void SetThreadSlice(Duration slice) {
  // A copy of the struct in linux/sched/types.h, which cannot be included together with sched.h.
  struct {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns;  // with the normal policy this is the slice
    uint64_t deadline_ns;
    uint64_t period_ns;
  } attributes = {};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0) return;
  attributes.runtime_ns = static_cast<uint64_t>(std::chrono::nanoseconds(slice).count());
  // A sandbox may forbid it; then the usual slice applies.
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

ThreadPool::ThreadPool(ThreadPoolOptions options) : options_(std::move(options)) {
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { RunThread(); });
}

ThreadPool::~ThreadPool() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

bool ThreadPool::Submit(Task task) {
  bool notify = false;
  {
    MutexLock lock(mutex_);
    if (stopping_ || queue_.size() >= options_.queue_tasks_max) return false;
    queue_.push_back(std::move(task));
    // If all threads are busy, the next one that is done takes the task anyway. A wake-up would be
    // a wasted system call.
    notify = idle_ > 0;
  }
  // Without the lock, so that the woken thread does not have to wait for it at once.
  if (notify) wake_.NotifyOne();
  return true;
}

size_t ThreadPool::queue_length() {
  MutexLock lock(mutex_);
  return queue_.size();
}

void ThreadPool::RunThread() {
  SetThreadName(options_.name);
  if (options_.nice != 0) SetThreadNice(options_.nice);
  for (;;) {
    Task task;
    {
      MutexLock lock(mutex_);
      ++idle_;
      while (queue_.empty() && !stopping_) wake_.Wait(mutex_);
      --idle_;
      // Only a stopping pool gets here with an empty queue: accepted tasks run even then.
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace penstock
