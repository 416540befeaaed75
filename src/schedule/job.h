// SPDX-License-Identifier: Apache-2.0
// What a thread of a SlotPool runs, and the slot that it runs in.
#pragma once

#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/clock.h"
#include "schedule/fair_queue.h"

namespace penstock::schedule {

class Job;
class SlotPool;

// A slot, and the run that it was given to. The thread of the pool ends the run when Job::Start has
// returned. A job whose run goes on after that moves the lease away, and ends it later. One thread
// at a time.
class Lease final {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept { *this = std::move(other); }
  Lease& operator=(Lease&& other) noexcept {
    pool_ = std::exchange(other.pool_, nullptr);
    run_ = std::exchange(other.run_, {});
    start_ = other.start_;
    return *this;
  }

  // False: it was moved away, or has ended.
  explicit operator bool() const { return pool_ != nullptr; }
  SteadyTime start() const { return start_; }
  const Flow* flow() const { return run_.flow; }

  // Decoded requests that a run has taken along, which decide to join it or to wait on. Null: a
  // request runs as soon as it is decoded.
  std::vector<Job*>* gathered = nullptr;

  // The run goes on, but no longer computes: another run may have the slot.
  void ReleaseSlot();
  // The run has ended. Call it at most once, on any thread.
  void End();

 private:
  friend class SlotPool;

  SlotPool* pool_ = nullptr;
  StartedRun run_;
  SteadyTime start_;
};

// One thing to run. Its owner keeps it until Start or Drop is called, and may destroy it there. One
// thread at a time.
class Job : public QueueItem {
 public:
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Called on a thread of the pool, when a slot is free.
  virtual void Start(Lease& lease) = 0;
  // Called instead of Start if the token was cancelled while the job waited: on the thread that
  // cancels, within its call.
  virtual void Drop() = 0;

  // What kind of job it is, for the one that may take it along in its run: see SlotPool::TakeAlong.
  // Null: it runs alone. Its owner sets it before the job enters a queue.
  const void* group = nullptr;

 protected:
  Job() = default;
  virtual ~Job() = default;

 private:
  friend class SlotPool;

  CancelToken* cancel_ = nullptr;
  bool is_cancelled_ = false;  // guarded by the pool's mutex
};

}  // namespace penstock::schedule
