// SPDX-License-Identifier: Apache-2.0
// Threads that run the jobs of a FairQueue.
#pragma once

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/os/machine.h"
#include "schedule/fair_queue.h"
#include "schedule/job.h"
#include "schedule/slot_limit.h"

namespace penstock::schedule {

// How a pool gets its threads.
enum class PoolThreads : uint8_t {
  kAtOnce,    // one for each slot
  kOnDemand,  // as kAtOnce, but each starts when it is needed first
  kCaller,    // none: Submit runs the jobs itself. For tests
  kNone,      // none: only RunQueued runs jobs. For tests
};

struct SlotPoolOptions {
  std::string thread_name;  // the first 15 characters count
  int nice = 0;             // of the threads
  FairQueueLimits limits;
  PoolThreads threads = PoolThreads::kAtOnce;
  // The CPUs that the process may use. Then as many slots are allowed as keep them busy: see
  // SlotLimit. 0: all of them, always.
  double cpus = 0;
  Duration (*cpu_time)() = ProcessCpuTime;  // tests pass another one
};

// The result of SlotPool::Submit.
enum class Admission : uint8_t {
  kAccepted,
  kQueueItems,  // refused: see Refusal
  kQueueBytes,
  kFlowItems,
  kFlowBytes,
  kTooLate,
  kWaitedTooLong,  // accepted, but it has waited too long: see FlowLimits::late_after
  kCancelled,      // refused: the token was cancelled before
  kNoThread,       // refused: the pool stops, or no thread could be started
};

// Runs jobs in the order of a FairQueue, each on a thread of its own and in a slot. Thread-safe. A
// lease must end before the pool is destroyed.
class SlotPool final {
 public:
  explicit SlotPool(SlotPoolOptions options, const Clock& clock = Clock::Real());
  ~SlotPool() { Stop(); }

  // Runs all jobs that wait, and ends the threads. Later jobs are refused. After that no thread of
  // the pool uses a flow any more. Not thread-safe against itself.
  void Stop() EXCLUDES(mutex_);

  // Queues a job, or refuses it: then neither Start nor Drop is called. `flow` must live until the
  // job has ended. If `cancel`, which may be null, is cancelled while the job waits, the job leaves
  // the queue and is dropped at once.
  [[nodiscard]] Admission Submit(Flow& flow, Job& job, CancelToken* cancel) EXCLUDES(mutex_);
  // Takes jobs out of the queue of the flow whose run has `lease`, so that they share that run.
  // Asks for each job with a group, in the order in which they would start, while nobody else
  // changes the queue. Neither Start nor Drop is called for those in `taken`: they belong to the
  // caller.
  void TakeAlong(const Lease& lease, absl::FunctionRef<Along(Job&)> ask, std::vector<Job*>& taken)
      EXCLUDES(mutex_);
  // Runs the jobs that may start on this thread, until there are none. Returns how many.
  size_t RunQueued() EXCLUDES(mutex_);

  void SetLimits(Flow& flow, const FlowLimits& limits) EXCLUDES(mutex_);
  void SetDeclaredRuns(Flow& flow, uint32_t runs_max, uint32_t preferred) EXCLUDES(mutex_);
  void SetGathering(Flow& flow, const Gathering& gathering) EXCLUDES(mutex_);
  // See FairQueue::StopGathering.
  void StopGathering() EXCLUDES(mutex_);

  // Calls `read` with the queue while nobody changes it.
  template <typename Read>
  auto Inspect(Read read) const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return read(queue_);
  }

 private:
  friend class Lease;

  static int64_t Nanoseconds(SteadyTime time) { return time.time_since_epoch().count(); }

  void RunThread();
  void Start(Job& job, Lease& lease);
  // Ends the run of `lease`, unless it was moved away, and begins that of the next job. Null: none
  // may start; if `waits`, the pool stops.
  Job* Next(Lease& lease, bool waits) EXCLUDES(mutex_);
  void End(Lease& lease, SteadyTime now) REQUIRES(mutex_);
  // Allows as many slots as keep the CPUs busy.
  void LimitSlots(SteadyTime now) REQUIRES(mutex_);
  void EndLease(Lease& lease) EXCLUDES(mutex_);
  void ReleaseSlot(Lease& lease) EXCLUDES(mutex_);
  void Cancel(Job& job) EXCLUDES(mutex_);
  // Starts one more thread if none is idle and there may be more. Returns false if there is none.
  bool HaveThread() REQUIRES(mutex_);
  bool ShouldWake() const REQUIRES(mutex_) {
    return idle_ > 0 && (stopping_ || queue_.CanPop() || queue_.NextDue() < timer_);
  }
  // Waits for a job, or for the time at which one need not wait longer for others.
  void Wait() REQUIRES(mutex_);

  const SlotPoolOptions options_;
  const Clock& clock_;
  mutable Mutex mutex_;
  CondVar wake_;
  FairQueue queue_ GUARDED_BY(mutex_);
  SlotLimit slot_limit_ GUARDED_BY(mutex_);
  // When to limit the slots again. SteadyTime::max(): the options do not want it.
  SteadyTime limit_due_ GUARDED_BY(mutex_);
  size_t idle_ GUARDED_BY(mutex_) = 0;
  // The time at which an idle thread will wake up by itself. kNever: none will, which is usual.
  int64_t timer_ GUARDED_BY(mutex_) = FairQueue::kNever;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace penstock::schedule
