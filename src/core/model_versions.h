// SPDX-License-Identifier: Apache-2.0
// The versions of one model and the transitions between their states. What shall happen is decided
// by a VersionPolicy and carried out by the Manager; this keeps the books.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "core/load_job.h"
#include "core/lookup.h"
#include "core/manager.h"
#include "core/source.h"
#include "core/version_policy.h"

namespace penstock::core {

// Every change of a published state is appended to `events`. One thread at a time (the manager's
// mutex).
class ModelVersions final {
 public:
  // `retries_max` as ManagerOptions::load_retries_max.
  ModelVersions(std::string name, std::vector<ManagerEvent>& events, int retries_max)
      : name_(std::move(name)), events_(events), retries_max_(retries_max) {}

  // The complete list of wanted versions.
  void SetAspired(std::vector<AspiredVersion> versions);

  // What the policy wants done next; none also if the policy asks for what is impossible. Versions
  // in `held` are not unloaded: to the policy they are aspired.
  std::optional<VersionAction> NextAction(const VersionPolicy& policy,
                                          const std::set<VersionNumber>& held) const;
  // The lowest ready version, whether it is aspired or not.
  std::optional<VersionNumber> LowestReady() const;

  // --- Loads.

  // kNew -> kLoading. `load` is the number of the load.
  std::shared_ptr<LoadJob> StartLoad(VersionNumber number, uint64_t load);
  // Asks the loads that run to end.
  void CancelLoads();
  // kLoading goes on: says why it waits.
  void NoteWaiting(const LoadJob& job, Status why);
  // kLoading -> kReady. The loader is kept in case that the version breaks.
  void FinishLoad(LoadJob& job, std::unique_ptr<VersionEntry> entry, SteadyTime now);
  // kLoading -> kError, or kDisabled if it is not aspired any more, or kNew if it was cancelled and
  // is aspired again, or its files have changed. The loader is kept for a retry; while one is left
  // the version is published as kStart with the error, then as kEnd. Returns how often in a row it
  // failed, 0 if no retry shall be timed. `needed_bytes`: it failed because so much
  // memory was not free, which does not count; RetryFitting tries it again.
  int FailLoad(LoadJob& job, const Status& error, uint64_t needed_bytes = 0);
  // kLoading -> kUnloading: loaded, but cancelled. It was never ready.
  void CancelLoad(LoadJob& job);
  // kLoading -> kError, and the load goes on without being waited for. The version is not loaded
  // again before EndHungLoad.
  void TimeOutLoad(LoadJob& job, const Status& error);
  // Returns how often in a row it failed, 0 if it shall not be retried.
  int EndHungLoad(LoadJob& job);
  // From now on no failed load is retried: those that wait for it have ended.
  void EndRetries();
  // kError -> kNew, if it still is in error after `failures` failures, and aspired.
  void Retry(VersionNumber number, int failures);
  // kError -> kNew for all that are aspired and could be loaded, however often they have failed.
  void RetryAll();
  // As new for all that are aspired and in error, if the source gave a loader: their failures are
  // forgotten. What hangs is begun when it has ended.
  void BeginFailed();
  // kError -> kNew for what failed for want of memory and together needed no more than this.
  // Returns how much that is.
  uint64_t RetryFitting(uint64_t free_bytes);
  // The least that a version takes which waits for RetryFitting; 0: none waits.
  uint64_t LackedBytes() const;

  // --- Unloads.

  // What requests must not find any more, and the number of the load that gave it.
  struct Unloading {
    std::unique_ptr<VersionEntry> entry;
    uint64_t load = 0;
  };
  // kReady -> kUnloading.
  Unloading StartUnload(VersionNumber number);
  // kReady -> kUnloading, because what load number `load` gave is broken. Null, and nothing is
  // changed, if that does not serve any more. If it had served for `stable_time`, this does not
  // count as a failure, and those before are forgotten.
  std::unique_ptr<VersionEntry> StartRetire(VersionNumber number, uint64_t load,
                                            const Status& reason, SteadyTime now,
                                            Duration stable_time);
  // kUnloading -> kDisabled; kNew if it is aspired, or was retired after a stable time; kError if
  // it was retired earlier. Returns how often in a row it failed, 0 if no retry shall be timed.
  int FinishUnload(VersionNumber number);

  // Forgets the versions that ended first, but for the last `ended_max`.
  void ForgetEnded(size_t ended_max);

  // --- What is known.

  // Newest first, but those that are there only for a label last.
  std::vector<VersionEntry*> Ready() const;
  // The numbers of the loads that gave them.
  std::vector<uint64_t> ReadyLoads() const;
  std::vector<std::pair<VersionNumber, Status>> Broken() const;
  // With the number of the load that each version holds or is about; 0: none.
  std::vector<std::pair<VersionStatus, uint64_t>> Statuses() const;
  bool IsReady(VersionNumber number) const;
  bool IsAspired(VersionNumber number) const;
  // True if the load that has ended gave what is still wanted.
  bool IsWanted(const LoadJob& job) const;
  // True if any version is aspired, or a reserve that loads, and on its way, rather than ready or
  // in error.
  bool IsAnyComing() const;
  bool IsComing(VersionNumber number) const;
  bool IsAnyLoading() const;
  // True if the version is aspired and in error.
  bool HasFailed(VersionNumber number) const;
  // Why the newest aspired version is not there; OK if there is none in error.
  Status NewestError() const;
  // The same for one version.
  Status ErrorOf(VersionNumber number) const;
  // Those that have a thread, or hang on one.
  std::vector<const LoadJob*> RunningLoads() const;
  // What went wrong so far with the version, or with the newest aspired one of which that is known;
  // also if it is being loaded again. OK: nothing did.
  Status NewestProblem(std::optional<VersionNumber> number) const;
  // True while a version is being loaded or unloaded.
  bool IsBusy() const;

 private:
  struct Version {
    VersionPhase phase = VersionPhase::kNew;
    bool is_aspired = true;
    bool is_for_label = false;  // aspired only for that
    // Not aspired, but kept with its loader (kNew, or in any other phase). Told to nobody before it
    // is loaded.
    bool is_reserve = false;
    // For the next load. Null while it loads, unless there is a newer one.
    StatusOr<std::unique_ptr<Loader>> loader = std::unique_ptr<Loader>();
    uint64_t revision = 0;                // of the newest loader
    uint64_t loaded_revision = 0;         // of the one that was loaded last, or tried
    std::shared_ptr<LoadJob> job;         // while kLoading, or while it hangs
    std::unique_ptr<VersionEntry> entry;  // while kReady
    Status end_status;                    // while kUnloading: what it will end with
    int failures = 0;                     // in a row: loads, and loaded ones that broke soon
    uint64_t needed_bytes = 0;            // in kError: it waits for so much memory
    uint64_t load = 0;                    // number of the load, from its start to the unload's end
    SteadyTime ready_since;               // of `entry`
    Status broken;                        // why it was retired, until it is ready again
    VersionStatus published;              // without a name: never
    uint64_t ended_order = 0;             // among the versions that ended
  };

  void Aspire(AspiredVersion wanted);
  // A version that is not aspired, but may be loaded.
  void Reserve(AspiredVersion wanted);
  // A reserve that is not loaded: -> kNew, or kError if there is no loader.
  static void Rest(Version& reserve);
  void Unaspire(VersionNumber number, Version& version);
  // -> kError; published as kStart if it is retried after a pause, else as kEnd.
  void Fail(VersionNumber number, Version& version, const Status& error);
  // From a state without anything loaded, to kNew, or to kError if there is no loader.
  void Begin(VersionNumber number, Version& version);
  // kNew -> kError if there is no loader.
  void CheckLoader(VersionNumber number, Version& version);
  static void Cancel(LoadJob& job);
  // The job is over; its loader is kept unless there is a newer one.
  static void TakeBack(Version& version, LoadJob& job);
  static bool MayRetry(const Version& version);
  static bool IsComing(const Version& version);
  void Publish(VersionNumber number, Version& version, VersionState state, Status status,
               Duration load_time = {});

  const std::string name_;
  std::vector<ManagerEvent>& events_;
  int retries_max_;
  std::map<VersionNumber, Version> versions_;
  uint64_t ended_count_ = 0;
};

}  // namespace penstock::core
