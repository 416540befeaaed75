// SPDX-License-Identifier: Apache-2.0
// A job can leave the queue in two ways, by a thread that starts it and by its token. The lock of
// the pool decides which one comes first. The token calls back under a lock of its own, so this
// order of locks holds everywhere: token, then pool. SetCallback and ClearCallback are called
// without the pool's lock, and before and after the job is in the queue: so the callback never
// finds a job that is gone.
#include "schedule/slot_pool.h"

#include <system_error>
#include <utility>

#include "base/calls/thread_time.h"
#include "base/executor.h"

namespace penstock::schedule {
namespace {

Admission AdmissionOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      return Admission::kAccepted;
    case Refusal::kQueueItems:
      return Admission::kQueueItems;
    case Refusal::kQueueBytes:
      return Admission::kQueueBytes;
    case Refusal::kFlowItems:
      return Admission::kFlowItems;
    case Refusal::kFlowBytes:
      return Admission::kFlowBytes;
    case Refusal::kTooLate:
      return Admission::kTooLate;
  }
  return Admission::kNoThread;
}

}  // namespace

void Lease::ReleaseSlot() {
  if (run_.has_slot) pool_->ReleaseSlot(*this);
}

void Lease::End() { pool_->EndLease(*this); }

SlotPool::SlotPool(SlotPoolOptions options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      queue_(options_.limits),
      slot_limit_(options_.limits.slots, options_.cpus),
      limit_due_(options_.cpus > 0 ? SteadyTime::min() : SteadyTime::max()) {
  if (options_.threads != PoolThreads::kAtOnce) return;
  MutexLock lock(mutex_);
  for (uint32_t i = 0; i < options_.limits.slots; ++i)
    threads_.emplace_back([this] { RunThread(); });
}

void SlotPool::Stop() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  wake_.NotifyAll();
  for (std::thread& thread : threads) thread.join();
}

Admission SlotPool::Submit(Flow& flow, Job& job, CancelToken* cancel) {
  job.cancel_ = cancel;
  job.is_cancelled_ = false;
  if (job.deadline != kNoItemDeadline)
    job.time_left = job.deadline - Nanoseconds(ThreadTime::Read(clock_));
  if (cancel != nullptr) cancel->SetCallback([this, &job] { Cancel(job); });
  Admission admission = Admission::kAccepted;
  bool wakes = false;
  {
    MutexLock lock(mutex_);
    if (job.is_cancelled_) {
      admission = Admission::kCancelled;
    } else if (stopping_ || !HaveThread()) {
      admission = Admission::kNoThread;
    } else {
      admission = AdmissionOf(queue_.Push(flow, job));
      // If all threads are busy, the next one that is done takes the job anyway. A wake-up would be
      // a wasted system call.
      wakes = admission == Admission::kAccepted && ShouldWake();
    }
  }
  if (admission != Admission::kAccepted) {
    if (cancel != nullptr) cancel->ClearCallback();
    return admission;
  }
  // From here on the job may be gone. Without the lock, so that the woken thread gets it at once.
  if (wakes) wake_.NotifyOne();
  if (options_.threads == PoolThreads::kCaller) RunQueued();
  return admission;
}

bool SlotPool::HaveThread() {
  if (options_.threads != PoolThreads::kOnDemand) return true;
  if (idle_ > queue_.items() || threads_.size() == options_.limits.slots) return true;
  try {
    threads_.emplace_back([this] { RunThread(); });
  } catch (const std::system_error&) {
    return !threads_.empty();
  }
  return true;
}

void SlotPool::Cancel(Job& job) {
  {
    MutexLock lock(mutex_);
    if (!queue_.Remove(job)) {
      job.is_cancelled_ = true;  // if it is about to enter, it is refused
      return;
    }
  }
  job.Drop();
}

void SlotPool::TakeAlong(const Lease& lease, absl::FunctionRef<Along(Job&)> ask,
                         std::vector<Job*>& taken) {
  {
    MutexLock lock(mutex_);
    queue_.TakeAlong(lease.run_, [&](QueueItem& item) {
      Job& job = static_cast<Job&>(item);
      if (job.group == nullptr) return Along::kLeave;
      const Along answer = ask(job);
      if (answer == Along::kTake) taken.push_back(&job);
      return answer;
    });
  }
  // A callback that runs now waits for the lock, and then finds that its job has left the queue.
  for (Job* job : taken) {
    if (job->cancel_ != nullptr) job->cancel_->ClearCallback();
  }
}

void SlotPool::RunThread() {
  SetThreadName(options_.thread_name);
  SetThreadNice(options_.nice);
  Lease lease;
  while (Job* const job = Next(lease, /*waits=*/true)) Start(*job, lease);
}

size_t SlotPool::RunQueued() {
  size_t count = 0;
  Lease lease;
  for (; Job* const job = Next(lease, /*waits=*/false); ++count) Start(*job, lease);
  return count;
}

void SlotPool::Start(Job& job, Lease& lease) {
  if (job.cancel_ != nullptr) job.cancel_->ClearCallback();
  job.Start(lease);
}

Job* SlotPool::Next(Lease& lease, bool waits) {
  // A run that has just answered has read the clock, so this costs nothing.
  SteadyTime now =
      lease ? ThreadTime::LastSince(lease.start_ + Duration(1), clock_) : ThreadTime::Read(clock_);
  MutexLock lock(mutex_);
  if (lease) End(lease, now);
  for (;;) {
    if (QueueItem* const item = queue_.Pop(Nanoseconds(now), lease.run_)) {
      lease.pool_ = this;
      lease.start_ = now;
      // This thread may have been the one that keeps the time for others.
      if (queue_.NextDue() < timer_ && idle_ > 0) [[unlikely]]
        wake_.NotifyOne();
      return static_cast<Job*>(item);
    }
    if (!waits) return nullptr;
    // Jobs that were accepted run even in a pool that stops.
    if (stopping_ && queue_.items() == 0) {
      wake_.NotifyAll();  // the other threads may wait for the last job
      return nullptr;
    }
    Wait();
    now = ThreadTime::Read(clock_);
  }
}

void SlotPool::Wait() {
  const int64_t due = queue_.NextDue();
  ++idle_;
  if (due >= timer_) [[likely]] {
    wake_.Wait(mutex_);
  } else {
    timer_ = due;
    wake_.WaitUntil(mutex_, SteadyTime(std::chrono::nanoseconds(due)));
    timer_ = FairQueue::kNever;
  }
  --idle_;
}

void SlotPool::End(Lease& lease, SteadyTime now) {
  if (now >= limit_due_) [[unlikely]]
    LimitSlots(now);
  queue_.End(lease.run_, static_cast<double>((now - lease.start_).count()));
  lease.pool_ = nullptr;
}

void SlotPool::LimitSlots(SteadyTime now) {
  limit_due_ = now + Duration(SlotLimit::kInterval);
  slot_limit_.Record(Nanoseconds(now), options_.cpu_time().count(), queue_.slots_taken(),
                     queue_.items() > 0);
  if (slot_limit_.slots() > queue_.slots()) wake_.NotifyAll();
  queue_.SetSlots(slot_limit_.slots());
}

void SlotPool::EndLease(Lease& lease) {
  const SteadyTime now = clock_.Now();
  bool wakes = false;
  {
    MutexLock lock(mutex_);
    End(lease, now);
    wakes = ShouldWake();
  }
  if (wakes) wake_.NotifyOne();
  if (options_.threads == PoolThreads::kCaller) RunQueued();
}

void SlotPool::ReleaseSlot(Lease& lease) {
  bool wakes = false;
  {
    MutexLock lock(mutex_);
    queue_.ReleaseSlot(lease.run_);
    wakes = ShouldWake();
  }
  if (wakes) wake_.NotifyOne();
}

void SlotPool::SetLimits(Flow& flow, const FlowLimits& limits) {
  {
    MutexLock lock(mutex_);
    queue_.SetLimits(flow, limits);
  }
  wake_.NotifyAll();  // more runs may be allowed
}

void SlotPool::SetGathering(Flow& flow, const Gathering& gathering) {
  {
    MutexLock lock(mutex_);
    queue_.SetGathering(flow, gathering);
  }
  wake_.NotifyAll();
}

void SlotPool::StopGathering() {
  {
    MutexLock lock(mutex_);
    queue_.StopGathering();
  }
  wake_.NotifyAll();
}

void SlotPool::SetDeclaredRuns(Flow& flow, uint32_t runs_max, uint32_t preferred) {
  {
    MutexLock lock(mutex_);
    queue_.SetDeclaredRuns(flow, runs_max, preferred);
  }
  wake_.NotifyAll();
}

}  // namespace penstock::schedule
