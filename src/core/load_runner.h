// SPDX-License-Identifier: Apache-2.0
// Runs loads: their steps on the load threads, their time limits and their retries.
//
// A load has two steps. The first asks the loader for an estimate of the memory. The second, which
// the owner starts when it has reserved that memory, calls Loader::Load. So a load that waits for
// memory holds no thread. Each step may have a time limit. When the limit passes, the load hangs:
// the owner goes on without it, the pool gets one more thread, and the load ends whenever its
// loader returns.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/status.h"
#include "core/background.h"
#include "core/load_job.h"
#include "core/loader.h"
#include "core/manager_options.h"
#include "core/memory_meter.h"

namespace penstock::core {

// Knows nothing of the states of versions: the owner does, and LoadRunner calls it after each step.
// One thread at a time (the manager's mutex), except that the steps call the owner and the loaders
// without the mutex.
class LoadRunner final {
 public:
  // The manager. LoadRunner calls these functions on threads of the background, without the mutex.
  class Owner {
   public:
    virtual ~Owner() = default;

    // A step of the load has got a thread. Returns false if the loader is not to be called. Must
    // call BeginStep with the mutex held.
    virtual bool BeginEstimate(const std::shared_ptr<LoadJob>& job) = 0;
    virtual bool BeginLoad(const std::shared_ptr<LoadJob>& job) = 0;
    // The step is over. The argument is CANCELLED if the step did not begin. Must call EndStep with
    // the mutex held.
    virtual void EndEstimate(const std::shared_ptr<LoadJob>& job,
                             StatusOr<ResourceEstimate> estimate) = 0;
    // `taken`: the memory that the loaded version takes, by its loader.
    virtual void EndLoad(const std::shared_ptr<LoadJob>& job,
                         StatusOr<std::unique_ptr<Servable>> servable,
                         const ResourceEstimate& taken) = 0;
    // The time limit of a step has passed. Must call GiveUp, with the mutex held.
    virtual void EndTimeLimit(const std::shared_ptr<LoadJob>& job, uint64_t step,
                              Duration limit) = 0;
    // A retry is due. `failures` as in RetryLater.
    virtual void Retry(const ServableId& id, int failures) = 0;
  };

  // All arguments must outlive the runner. Uses the limits for retries and the time limit of
  // `options`.
  LoadRunner(const ManagerOptions& options, Background& background, MemoryMeter& meter,
             Owner& owner)
      : options_(options), background_(background), meter_(meter), owner_(owner) {}

  // Returns a new number for a load.
  uint64_t NextNumber() { return ++last_number_; }

  // Queues the first step.
  void Start(const std::shared_ptr<LoadJob>& job);
  // Queues the second step, before the first steps of others, and starts its time limit.
  void Continue(const std::shared_ptr<LoadJob>& job, std::optional<Duration> limit);

  // A step has got a thread, and has ended.
  void BeginStep(LoadJob& job) const { job.step_start = background_.Now(); }
  void EndStep(LoadJob& job) const;
  // Starts a time limit for the step. nullopt: that of the options; 0: none.
  void LimitStep(const std::shared_ptr<LoadJob>& job, std::optional<Duration> limit);
  // Returns false if `step` is over. Otherwise the load does not count as pending any more, and
  // another one may run in its place. The caller must set LoadJob::is_hung.
  [[nodiscard]] bool GiveUp(const LoadJob& job, uint64_t step);
  // The load is over: the loader is not called any more, unless for a retry.
  void End(const LoadJob& job);

  // Schedules a retry after a pause that grows with `failures`, the number of failures in a row. 0:
  // no retry. Does nothing if there were too many failures, or after EndRetries.
  void RetryLater(const ServableId& id, int failures);
  void EndRetries() { has_retries_ = false; }

  // The loads that were started and are not over, without those that hang.
  int pending() const { return pending_; }

 private:
  void RunEstimate(const std::shared_ptr<LoadJob>& job) const;
  void RunLoad(const std::shared_ptr<LoadJob>& job) const;
  // Calls the loader. On success, sets `taken` to the memory that the loader reports.
  StatusOr<std::unique_ptr<Servable>> CallLoad(Loader& loader, ResourceEstimate& taken) const;

  const ManagerOptions& options_;
  Background& background_;
  MemoryMeter& meter_;
  Owner& owner_;
  uint64_t last_number_ = 0;
  int pending_ = 0;
  bool has_retries_ = true;
};

}  // namespace penstock::core
