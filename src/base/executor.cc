// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace penstock {

void SetThreadName(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

void SetThreadNice(int nice) {
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), nice);
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
    notify = idle_ > 0;
  }
  if (notify) wake_.NotifyOne();
  return true;
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
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace penstock
