// SPDX-License-Identifier: Apache-2.0
#include "core/load_pool.h"

#include <algorithm>
#include <utility>

namespace penstock::core {

LoadPool::LoadPool(int threads, int nice) : nice_(nice), wanted_(std::max(1, threads)) {
  MutexLock lock(mutex_);
  StartMissing();
}

LoadPool::~LoadPool() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  wake_.NotifyAll();
  for (std::thread& thread : threads) thread.join();
}

void LoadPool::Submit(Task task, bool first) {
  {
    MutexLock lock(mutex_);
    if (first) {
      queue_.push_front(std::move(task));
    } else {
      queue_.push_back(std::move(task));
    }
  }
  wake_.NotifyOne();
}

void LoadPool::SetThreads(int threads) {
  {
    MutexLock lock(mutex_);
    wanted_ = std::max(1, threads);
    StartMissing();
  }
  wake_.NotifyAll();
}

void LoadPool::NoteHung(int change) {
  {
    MutexLock lock(mutex_);
    hung_ += change;
    StartMissing();
  }
  wake_.NotifyAll();
}

void LoadPool::StartMissing() {
  if (stopping_) return;
  for (const std::thread::id id : std::exchange(ended_, {})) {
    const auto found = std::find_if(threads_.begin(), threads_.end(),
                                    [&](const std::thread& t) { return t.get_id() == id; });
    found->join();  // short: the thread has left the mutex, and does nothing more
    threads_.erase(found);
  }
  for (; alive_ < wanted_ + hung_; ++alive_) threads_.emplace_back([this] { RunThread(); });
}

void LoadPool::RunThread() {
  SetThreadName("load");
  SetThreadNice(nice_);
  for (;;) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_ && alive_ <= wanted_ + hung_) wake_.Wait(mutex_);
      if (!stopping_ && alive_ > wanted_ + hung_) {
        --alive_;
        ended_.push_back(std::this_thread::get_id());
        return;
      }
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace penstock::core
