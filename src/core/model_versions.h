// SPDX-License-Identifier: Apache-2.0
// The versions of one model, and the transitions between their states. A TransitionPolicy decides
// what happens next, the Manager does it, and this class records it.
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
#include "core/model_status.h"
#include "core/source.h"
#include "core/transition_policy.h"

namespace penstock::core {

// Appends every change of a published state to `events`. One thread at a time (the manager's
// mutex).
class ModelVersions final {
 public:
  // `retries_max`: see ManagerOptions::load_retries_max.
  ModelVersions(std::string name, std::vector<ManagerEvent>& events, int retries_max)
      : name_(std::move(name)), events_(events), retries_max_(retries_max) {}

  // Sets the complete list of wanted versions.
  void SetAspired(std::vector<AspiredVersion> versions);

  // Returns the next action of the policy; nullopt also if the policy asks for an impossible one.
  // Versions in `held` are not unloaded: the policy sees them as aspired.
  std::optional<VersionAction> NextAction(const TransitionPolicy& policy,
                                          const std::set<VersionNumber>& held) const;
  // The lowest ready version, aspired or not.
  std::optional<VersionNumber> LowestReady() const;

  // --- Loads.

  // kNew -> kLoading. `load` is the number of the load.
  std::shared_ptr<LoadJob> StartLoad(VersionNumber number, uint64_t load);
  // Asks all running loads to end.
  void CancelLoads();
  // Stays kLoading: publishes why the load waits.
  void NoteWaiting(const LoadJob& job, Status why);
  // kLoading -> kReady. The loader is kept for the case that the version breaks.
  void FinishLoad(LoadJob& job, std::unique_ptr<VersionEntry> entry, SteadyTime now);
  // Records a failed load. kLoading -> kNew if the load was cancelled and the version is aspired
  // again, or if its files have changed; else kError, or kDisabled if the version is not aspired
  // any more. A reserve goes to kError, or to kNew if its load was cancelled. The loader is kept
  // for a retry. The error is published with kStart while a retry is left, else with kEnd. Returns
  // the number of failures in a row; 0 if the caller must not schedule a retry. `needed_bytes`:
  // not 0 if the load failed because so much memory was not free. Such a failure does not count,
  // and RetryFitting retries it.
  int FailLoad(LoadJob& job, const Status& error, uint64_t needed_bytes = 0);
  // kLoading -> kUnloading: the load succeeded, but was cancelled. The version was never ready.
  void CancelLoad(LoadJob& job);
  // kLoading -> kError, or kDisabled if the version is not wanted any more: the load hangs, and
  // nobody waits for it any more. The version is not loaded again before EndHungLoad.
  void TimeOutLoad(LoadJob& job, const Status& error);
  // Returns the number of failures in a row; 0 if the version must not be retried.
  int EndHungLoad(LoadJob& job);
  // Ends all retries. Failed versions that wait for a retry are published as ended.
  void EndRetries();
  // kError -> kNew, if the version is aspired and its failures are still `failures`.
  void Retry(VersionNumber number, int failures);
  // kError -> kNew for all aspired versions that have a loader, however often they have failed.
  void RetryAll();
  // kError -> kNew, with no failures, for all aspired versions for which the source gave a loader.
  // A version whose load hangs is begun when that load has ended.
  void BeginFailed();
  // kError -> kNew for versions that failed for lack of memory and together need at most
  // `free_bytes`. Returns the bytes that they need.
  uint64_t RetryFitting(uint64_t free_bytes);
  // The fewest bytes that a version needs which waits for RetryFitting; 0: no version waits.
  uint64_t LackedBytes() const;

  // --- Unloads.

  // A version that requests must not find any more, and the number of the load that gave it.
  struct Unloading {
    std::unique_ptr<VersionEntry> entry;
    uint64_t load = 0;
  };
  // kReady -> kUnloading.
  Unloading StartUnload(VersionNumber number);
  // kReady -> kUnloading, because the version that load number `load` gave is broken. Returns null,
  // and changes nothing, if that load's version does not serve any more. If it had served for
  // `stable_time`, this does not count as a failure, and earlier failures are forgotten.
  std::unique_ptr<VersionEntry> StartRetire(VersionNumber number, uint64_t load,
                                            const Status& reason, SteadyTime now,
                                            Duration stable_time);
  // kUnloading -> kNew if the version is aspired again, or was retired after `stable_time`; kError
  // if it was retired earlier; else kDisabled. A reserve goes to kNew, or to kError if it broke.
  // Returns the number of failures in a row; 0 if the caller must not schedule a retry.
  int FinishUnload(VersionNumber number);

  // --- Changes of a version that serves.

  // Takes the loader of a ready version, which goes on serving. Null: it is not ready, or its load
  // is under way.
  std::shared_ptr<LoadJob> StartRenewal(VersionNumber number, uint64_t load);
  // Ends the renewal, and puts `entry` in the place of what it renews; null: the load failed.
  // Returns what is to be unloaded: the former entry, or `entry` if the version does not serve any
  // more.
  Unloading FinishRenewal(LoadJob& job, std::unique_ptr<VersionEntry> entry, SteadyTime now);
  // Publishes what is wrong with a ready version; OK: nothing. `can_answer`: requests get answers
  // nevertheless. Returns false if that is known, or the version is not ready.
  bool NoteProblem(VersionNumber number, const Status& problem, bool can_answer);

  // Forgets the versions that ended first, so that `ended_max` ended ones remain.
  void ForgetEnded(size_t ended_max);

  // --- Status.

  // The ready versions, newest first. Versions that are not wanted any more come after them, and
  // those that are loaded only for a label come last.
  std::vector<VersionEntry*> Ready() const;
  // The ready versions that are not only loaded for a label.
  std::set<VersionNumber> ReadyMain() const;
  // True if a version is aspired, and not only for a label.
  bool HasAspiredMain() const;
  // True if a ready version can answer.
  bool HasAnswers() const;
  // The numbers of the loads that gave the ready versions.
  std::vector<uint64_t> ReadyLoads() const;
  std::vector<std::pair<VersionNumber, Status>> Broken() const;
  // Each status comes with the number of the load that the version holds or runs; 0: none.
  std::vector<std::pair<VersionStatus, uint64_t>> Statuses() const;
  bool IsReady(VersionNumber number) const;
  bool IsAspired(VersionNumber number) const;
  // True if the version of this load, which has ended, is still wanted.
  bool IsWanted(const LoadJob& job) const;
  // True if a version will become ready without a retry: an aspired one is not ready and not in
  // error, or a reserve is being loaded.
  bool IsAnyComing() const;
  bool IsComing(VersionNumber number) const;
  bool IsAnyLoading() const;
  // True if the version is aspired and in error.
  bool HasFailed(VersionNumber number) const;
  // The error of the newest aspired version that is in error; OK if there is none.
  Status NewestError() const;
  // The same for one version; OK if it is not in error.
  Status ErrorOf(VersionNumber number) const;
  // Loads that run or hang on a thread.
  std::vector<const LoadJob*> RunningLoads() const;
  // The last error of the version, or of the newest aspired version that has one. It stays while
  // the version is loaded again. OK: there is no error.
  Status NewestProblem(std::optional<VersionNumber> number) const;
  // True while a version is being loaded or unloaded.
  bool IsBusy() const;

 private:
  struct Version {
    VersionPhase phase = VersionPhase::kNew;
    bool is_aspired = true;
    bool is_for_label = false;  // aspired only because a label names it
    // Not aspired, but kept with its loader in case that no aspired version can be loaded. It is
    // not published before its load begins.
    bool is_reserve = false;
    // For the next load. Null while a load has it, unless the source has given a newer one.
    StatusOr<std::unique_ptr<Loader>> loader = std::unique_ptr<Loader>();
    uint64_t revision = 0;                // of the newest loader
    uint64_t loaded_revision = 0;         // of the last load that was begun
    std::shared_ptr<LoadJob> job;         // while kLoading, or while the load hangs
    std::unique_ptr<VersionEntry> entry;  // while kReady
    Status end_status;          // while kUnloading: the status that will be published with kEnd
    int failures = 0;           // in a row: failed loads, and versions that broke soon after a load
    uint64_t needed_bytes = 0;  // in kError: the version waits for this much memory
    uint64_t load = 0;          // number of the load, from its start to the end of the unload
    SteadyTime ready_since;     // since when `entry` is ready
    Status broken;              // why it was retired; OK again once it is ready
    bool can_answer = true;     // while kReady; see NoteProblem
    VersionStatus published;    // an empty name: it was never published
    uint64_t ended_order = 0;   // the order in which versions ended
  };

  void Aspire(AspiredVersion wanted);
  // Records a version that is not aspired, but may be loaded if no aspired one can be.
  void Reserve(AspiredVersion wanted);
  // For a reserve that is not loaded: -> kNew, or kError if it has no loader.
  static void Rest(Version& reserve);
  void Unaspire(VersionNumber number, Version& version);
  // -> kError. Published as kStart if a retry follows, else as kEnd.
  void Fail(VersionNumber number, Version& version, const Status& error);
  // For a version with nothing loaded: -> kNew, or kError if it has no loader.
  void Begin(VersionNumber number, Version& version);
  // kNew -> kError if the version has no loader.
  void CheckLoader(VersionNumber number, Version& version);
  static void Cancel(LoadJob& job);
  // Ends the job. The version keeps its loader, unless the source has given a newer one.
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
