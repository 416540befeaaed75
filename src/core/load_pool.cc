// SPDX-License-Identifier: Apache-2.0
// A load that hangs holds its thread, perhaps for ever, and a thread cannot be stopped from
// outside. So the pool counts such threads (`hung_`) and starts others in their place. When a hung
// load ends after all, there is a thread too many, and the next one that is idle ends. A thread
// cannot join itself: it leaves its id in `ended_`, and a later call joins it.
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
      // Not while stopping: then the threads are needed to run the queue to its end.
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
