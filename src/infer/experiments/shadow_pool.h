// SPDX-License-Identifier: Apache-2.0
// The threads that run the copies of requests for the shadows.
#pragma once

#include <atomic>
#include <utility>

#include "base/executor.h"
#include "infer/experiments/running_copies.h"

namespace penstock {

// Runs shadow copies on threads of low OS priority, so that they slow no request down. Thread-safe,
// but for Start. The destructor waits for the copies that are queued or run.
class ShadowPool final {
 public:
  ShadowPool() = default;
  ~ShadowPool();
  ShadowPool(const ShadowPool&) = delete;
  ShadowPool& operator=(const ShadowPool&) = delete;

  // Starts the threads, if they do not run yet. Few servers have shadows, so the threads start with
  // the first one. One thread at a time calls it.
  void Start();
  // Returns false if the queue is full. Start must have returned.
  [[nodiscard]] bool Submit(Task task) const { return pool_.load()->Submit(std::move(task)); }
  // The copies that are queued or run.
  RunningCopies& copies() const { return copies_; }

 private:
  mutable RunningCopies copies_;
  std::atomic<ThreadPool*> pool_{nullptr};  // owned; atomic, because requests use it without a lock
};

}  // namespace penstock
