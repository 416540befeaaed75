// SPDX-License-Identifier: Apache-2.0
// std::mutex with clang's thread-safety annotations. Not absl::Mutex: Debian's is built without the
// sanitizer's instrumentation, so ThreadSanitizer would report false races.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"

// absl defines GUARDED_BY. The other two are shorter names for its macros.
#define REQUIRES(...) ABSL_EXCLUSIVE_LOCKS_REQUIRED(__VA_ARGS__)
#define EXCLUDES(...) ABSL_LOCKS_EXCLUDED(__VA_ARGS__)
#ifndef GUARDED_BY
#define GUARDED_BY(mutex) ABSL_GUARDED_BY(mutex)
#endif

namespace penstock {

// A mutex. Write GUARDED_BY(mutex_) behind each field that it guards, REQUIRES(mutex_) behind a
// function that the holder calls, and EXCLUDES(mutex_) behind one that takes it: clang then finds
// an access without the lock at compile time. Not recursive. Thread-safe.
class ABSL_LOCKABLE Mutex {
 public:
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Holds a Mutex for the scope. One thread at a time.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// A condition variable for Mutex. It may wake without a notification, so wait in a loop that tests
// the condition:
//
//   MutexLock lock(mutex_);
//   while (queue_.empty()) changed_.Wait(mutex_);
//
// Thread-safe.
class CondVar {
 public:
  void Wait(Mutex& mutex) REQUIRES(mutex) {
    // The caller holds the mutex. The unique_lock borrows it for the wait, and must not unlock it
    // at the end.
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // Returns false if the time ran out first.
  bool WaitUntil(Mutex& mutex, std::chrono::steady_clock::time_point until) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool notified = condition_.wait_until(lock, until) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace penstock
