// SPDX-License-Identifier: Apache-2.0
// The state of a Manager and its transitions. Private to manager.cc, manager_impl.cc,
// manager_loads.cc, manager_memory.cc and manager_demand.cc.
//
// How it works: one mutex guards all state. A function that changes something makes a Change, which
// holds the mutex, edits the model, and calls Advance. Advance asks the model's policy for the next
// action and starts it, until the policy wants nothing more. At the end of the Change, Flush
// decides which loads get memory, publishes a new Snapshot for requests, and hands unloads to the
// background. Only then, with the mutex free, the listeners and the waiting requests are called.
//
// Why so: one mutex is enough, because requests do not take it (lookup.h) and slow work never holds
// it. Loads, unloads and listeners run as tasks of the Background, and each task reports its result
// in a Change of its own. A version is unloaded only after the Snapshot without it is published, so
// that no request can find it any more. A Model exists at least until its last load and unload are
// over, so these tasks find it by name.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/persistent_map.h"
#include "core/background.h"
#include "core/event_log.h"
#include "core/lookup.h"
#include "core/manager.h"
#include "core/memory_budget.h"
#include "core/memory_meter.h"
#include "core/model_versions.h"

namespace penstock::core {

// Has the text of TensorFlow Serving. Without a version: for the newest.
Status ServableNotFound(std::string_view name, std::optional<VersionNumber> version);
inline Status LoadCancelled() { return absl::CancelledError("Loading of servable cancelled"); }

// All state and its transitions. Thread-safe. Every function that changes a model makes a Change,
// and calls Advance for the model.
class Manager::Impl final {
 public:
  using OnLoaded = absl::AnyInvocable<void(Status)>;

  Impl(ManagerOptions options, const BackgroundFactory& make_background);

  Status SetModels(std::vector<ModelConfig> configs, bool is_complete_list) EXCLUDES(mutex_);
  Status RemoveModel(std::string_view name) EXCLUDES(mutex_);
  void SetAspired(std::string_view name, std::vector<AspiredVersion> versions, uint64_t generation)
      EXCLUDES(mutex_);
  void SetSourceStatus(std::string_view name, Status status, uint64_t generation) EXCLUDES(mutex_);
  bool LoadOnDemand(Demand demand) EXCLUDES(mutex_);
  bool AwaitFirstLoad(Demand demand) EXCLUDES(mutex_);
  // The error for a request that found no such version ready. `label`: the label that named the
  // version.
  Status WhyNotReady(std::string_view name, std::optional<VersionNumber> version,
                     std::string_view label = "") EXCLUDES(mutex_);
  std::vector<std::string> ModelNames() EXCLUDES(mutex_);
  std::vector<VersionStatus> VersionStatuses(std::string_view name) EXCLUDES(mutex_);
  Status SourceStatus(std::string_view name) EXCLUDES(mutex_);
  std::map<std::string, LabelState> Labels(std::string_view name) EXCLUDES(mutex_);
  std::optional<ModelStatus> StatusOf(std::string_view name) EXCLUDES(mutex_);
  Memory MemoryUse() EXCLUDES(mutex_);
  bool WaitUntilIdle(SteadyTime until) EXCLUDES(mutex_);
  std::vector<RunningLoad> RunningLoads() EXCLUDES(mutex_);
  void WaitUntilUnloaded() EXCLUDES(mutex_);
  void StartDrain() EXCLUDES(mutex_);
  bool Stop(SteadyTime until) EXCLUDES(mutex_);

  SnapshotCell& lookup() { return lookup_; }
  EventLog& events() { return events_; }

 private:
  // A request that waits for a model to be loaded.
  struct Waiter {
    std::optional<VersionNumber> version;  // nullopt: any
    std::string label;                     // the label in the request; may be empty
    SteadyTime deadline = kNoDeadline;
    OnLoaded done;
    std::function<bool()> is_wanted;  // null: always true
  };

  // One model, from SetModels until it is removed and its last version is gone. Guarded by the
  // mutex.
  struct Model {
    Model(const std::string& name, std::vector<ManagerEvent>& events, int retries_max)
        : versions(name, events, retries_max) {}

    ModelConfig config;
    bool is_configured = true;  // false: removed, and erased once its versions are gone
    bool has_report = false;    // as ModelStatus::has_report
    bool is_of_start = false;   // configured before the manager was ready for the first time
    bool has_served = false;    // has had a version ready since it was added
    // True once it has served and no version was still to come.
    bool is_first_load_over = false;
    Status source_status;
    ModelVersions versions;
    std::map<std::string, VersionNumber> labels;  // as requests find them
    uint64_t lacked_bytes = 0;                    // its entry in lacking_; 0: none
    // For a model on demand:
    bool is_demanded = false;
    SteadyTime last_used;      // at the last check
    uint64_t uses_seen = 0;    // at that check
    uint64_t recent_uses = 0;  // between the last two checks
    SteadyTime retried_since;  // when a request last caused retries of failed loads
    // For any model:
    std::vector<Waiter> waiters;
    // Fires at the first deadline of the waiters, or earlier. None: no waiter has a deadline.
    std::optional<TimerId> timer;
    // Not 0 while calls report OK to waiters. The model is not evicted then, so that these waiters
    // can take their handles. Shared with the calls, as the model may be destroyed before they end.
    std::shared_ptr<int> answering = std::make_shared<int>(0);
  };
  using Calls = std::vector<Task>;
  class Change;

  Model* FindConfigured(std::string_view name) REQUIRES(mutex_);
  // Returns the model that a report of `generation` applies to. Null if it is not configured, or if
  // the report is for an earlier configuration that asked for other versions.
  Model* FindToldOf(std::string_view name, uint64_t generation) REQUIRES(mutex_);
  // True if the report is the answer of the source to the configuration in force.
  static bool IsAnswer(const Model& model, uint64_t generation) {
    return generation == 0 || generation >= model.config.generation;
  }
  Status CheckConfigs(const std::vector<ModelConfig>& configs) const REQUIRES(mutex_);
  void Configure(ModelConfig config) REQUIRES(mutex_);
  void Remove(Model& model) REQUIRES(mutex_);

  // Erases a model that was removed and has nothing in memory any more. It stays listed for a
  // while.
  void Forget(Model& model) REQUIRES(mutex_);
  // Starts the actions that the policy wants, until it wants nothing more, and forgets old ended
  // versions. May erase the model.
  void Advance(Model& model) REQUIRES(mutex_);
  static bool ShallBeLoaded(const Model& model);
  // True if the source waits for a version that is not complete yet.
  static bool IsSourceWaiting(const Model& model) {
    return model.source_status.code() == StatusCode::kFailedPrecondition;
  }
  // The versions that labels keep loaded, because the versions that they are to move to are not
  // ready.
  static std::set<VersionNumber> HeldByLabels(const Model& model);
  std::vector<VersionStatus> StatusesOf(const Model& model) const REQUIRES(mutex_);
  static std::map<std::string, LabelState> LabelsOf(const Model& model);
  void StartUnload(Model& model, VersionNumber number) REQUIRES(mutex_);
  void UnloadAll(Model& model) REQUIRES(mutex_);
  // Unloads `entry` after the lookup has been published. `is_version`: true if its version is
  // kUnloading until then; false if a hung load gave it after the load had been given up.
  void Release(const ServableId& id, std::unique_ptr<VersionEntry> entry, uint64_t load,
               bool is_version) REQUIRES(mutex_);
  void UpdateLookup(Model& model) REQUIRES(mutex_);
  static void MoveLabels(Model& model);
  bool IsReadyByRule() const REQUIRES(mutex_);
  void EndInitialLoad() REQUIRES(mutex_);
  // Replaces what requests find for a model; null: requests do not find it any more.
  void SetView(const std::string& name, std::shared_ptr<const Snapshot::Model> view)
      REQUIRES(mutex_);
  // Publishes what requests can find, then queues the events. The caller must run the returned
  // calls once the mutex is free.
  [[nodiscard]] Calls Flush() REQUIRES(mutex_);
  bool IsIdle() EXCLUDES(mutex_);

  // --- Loads (manager_loads.cc).

  void StartLoad(Model& model, VersionNumber number) REQUIRES(mutex_);
  // These two run on a load thread.
  void EstimateLoad(const std::shared_ptr<LoadJob>& job) EXCLUDES(mutex_);
  void RunLoad(const std::shared_ptr<LoadJob>& job) EXCLUDES(mutex_);
  // Calls the loader. On success, sets `taken` to the memory that the loader reports.
  StatusOr<std::unique_ptr<Servable>> CallLoad(Loader& loader, ResourceEstimate& taken)
      EXCLUDES(mutex_);
  void BeginLoad(Model& model, const std::shared_ptr<LoadJob>& job) REQUIRES(mutex_);
  void FinishLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) REQUIRES(mutex_);
  void FailLoad(Model& model, LoadJob& job, const Status& error, uint64_t needed_bytes = 0)
      REQUIRES(mutex_);
  void EndHungLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) REQUIRES(mutex_);
  // Called when a step of the load gets a thread, and when that step is over.
  void BeginStep(LoadJob& job) REQUIRES(mutex_);
  void EndStep(LoadJob& job) REQUIRES(mutex_);
  // Starts the time limit of the load's next step.
  void StartTimeout(const Model& model, const std::shared_ptr<LoadJob>& job) REQUIRES(mutex_);
  void TimeOut(const std::shared_ptr<LoadJob>& job, uint64_t step, Duration timeout)
      EXCLUDES(mutex_);
  // Schedules a retry after a pause that grows with `failures`; 0: no retry.
  void RetryLater(const ServableId& id, int failures) REQUIRES(mutex_);
  void Retry(const ServableId& id, int failures) EXCLUDES(mutex_);
  void Retire(const ServableId& id, uint64_t load, const Status& reason) EXCLUDES(mutex_);
  void FinishUnload(const ServableId& id, uint64_t load, bool is_version) EXCLUDES(mutex_);

  // --- Memory (manager_memory.cc).

  // A load that waits for memory. Its model exists as long as the load waits.
  struct WaitingLoad {
    Model* model = nullptr;
    std::shared_ptr<LoadJob> job;
    bool was_told = false;  // its status says that it waits
  };
  // A model with versions that failed for lack of memory, ordered by the bytes of the smallest one.
  struct Lacking {
    uint64_t bytes = 0;
    std::string name;

    auto operator<=>(const Lacking&) const = default;
  };
  // The results of one review of the memory.
  struct Room {
    uint64_t movable = 0;  // the bytes that evicting all evictable models would free
    uint64_t claimed = 0;  // advance reservations (manager_memory.cc) of loads that still wait
    // The evictable models, the least recently used first. Null: it is being unloaded. nullopt: not
    // computed yet.
    std::optional<std::vector<Model*>> candidates;
    LoadJob* overtakable = nullptr;  // the first that waits without an advance reservation
    std::set<Model*> changed;        // ReviewMemory calls Advance for them at its end
  };

  // Begins the load, or queues it for the next review.
  void Admit(Model& model, const std::shared_ptr<LoadJob>& job) REQUIRES(mutex_);
  bool TryReserve(const LoadJob& job, uint64_t claimed) REQUIRES(mutex_);
  // Decides again about the loads that wait: each begins, waits on, or fails. Called when memory
  // was freed or a load began to wait.
  void ReviewMemory() REQUIRES(mutex_);
  void ReviewWaiting(WaitingLoad waiting, Room& room) REQUIRES(mutex_);
  // Update the lists of models that lack memory and of models that may be evicted.
  void NoteMemory(Model& model) REQUIRES(mutex_);
  void ForgetMemory(Model& model) REQUIRES(mutex_);
  // Retries loads that failed for lack of memory and would fit now.
  void RetryFitting(Room& room) REQUIRES(mutex_);
  Status NoMemory(const LoadJob& job) const REQUIRES(mutex_);
  // The headroom, and the memory of unloads that run.
  uint64_t ComingBytes() const REQUIRES(mutex_);
  uint64_t ReadyBytes(const Model& model) const REQUIRES(mutex_);
  // The bytes that evicting the model would free; 0 if it must not be evicted.
  uint64_t Movable(const Model& model) const REQUIRES(mutex_);
  // Evicts the least recently used models until `bytes` are free or being freed, if possible.
  void MakeRoom(uint64_t bytes, const Model& for_model, Room& room) REQUIRES(mutex_);
  std::vector<Model*> MovableModels() REQUIRES(mutex_);

  // --- Requests that wait, and models that are loaded on demand (manager_demand.cc).

  // True if a request for `version` (nullopt: for any) may wait because the first load of the model
  // is not over.
  static bool IsInFirstLoad(const Model& model, std::optional<VersionNumber> version);
  // Returns false, and refuses the request, if too many requests wait already.
  bool AddWaiter(Model& model, std::optional<VersionNumber> version, Demand demand)
      REQUIRES(mutex_);
  // The version that a demand asks for; nullopt: any.
  static std::optional<VersionNumber> VersionOf(const Model& model, const Demand& demand);
  // Retries failed versions that the request needs; at most once per load_retry_interval_max.
  void RetryForRequest(Model& model, std::optional<VersionNumber> version) REQUIRES(mutex_);
  // The answer for requests that wait for `version` (nullopt: for any); nullopt: no answer yet.
  // `label` as for WhyNotReady.
  std::optional<Status> AnswerFor(const Model& model, std::optional<VersionNumber> version,
                                  std::string_view label) const REQUIRES(mutex_);
  // Says why the model does not have the version, and which versions it has. NOT_FOUND; or
  // UNAVAILABLE if a label names the version, since then the configuration is wrong and not the
  // request.
  static Status VersionAbsent(const Model& model, VersionNumber version, std::string_view label);
  // Answers the waiters for which AnswerFor has an answer.
  void SettleWaiters(Model& model) REQUIRES(mutex_);
  // Answers all waiters with `error`.
  void RefuseWaiters(Model& model, const Status& error) REQUIRES(mutex_);
  void Answer(OnLoaded done, Status status) REQUIRES(mutex_);
  // Called after SettleWaiters has reported OK to waiters: the model may be evicted again.
  void FinishAnswers(int& answering) EXCLUDES(mutex_);
  // Answers, and removes, the waiters whose client has gone.
  void DropGoneWaiters(Model& model) REQUIRES(mutex_);
  // Sets the model's timer to `deadline`, unless it fires earlier anyway. Cancels it if nobody
  // waits.
  void TimeWaiters(Model& model, SteadyTime deadline) REQUIRES(mutex_);
  void TimeOutWaiters(const std::string& name) EXCLUDES(mutex_);
  // Finds out which models were used since the last check, and unloads those that were idle too
  // long.
  void LookAtUse() EXCLUDES(mutex_);
  void NoteUse(Model& model, SteadyTime now) REQUIRES(mutex_);
  void StartLookingAtUse() REQUIRES(mutex_);

  // A version that requests can no longer find once the lookup has been published.
  struct ToUnload {
    ServableId id;
    std::unique_ptr<VersionEntry> entry;
    uint64_t load = 0;
    bool is_version = true;
  };

  const ManagerOptions options_;

  // Thread-safe by themselves.
  SnapshotCell lookup_;
  EventLog events_;
  MemoryMeter meter_;

  Mutex mutex_;
  std::vector<ManagerEvent> new_events_ GUARDED_BY(mutex_);
  Calls new_calls_ GUARDED_BY(mutex_);
  std::map<std::string, Model, std::less<>> models_ GUARDED_BY(mutex_);
  // The status of a model that was removed, which is still listed.
  struct RemovedModel {
    std::vector<VersionStatus> versions;
    SteadyTime since;
  };
  std::map<std::string, RemovedModel, std::less<>> removed_ GUARDED_BY(mutex_);
  // The models of the next snapshot. lookup_changed_: they differ from those of the published one.
  PersistentMap<std::shared_ptr<const Snapshot::Model>> lookup_models_ GUARDED_BY(mutex_);
  // Counts over lookup_models_: models that count as ready, and models that should but do not. So
  // the readiness of the server needs no loop over all models.
  size_t ready_count_ GUARDED_BY(mutex_) = 0;
  size_t missing_count_ GUARDED_BY(mutex_) = 0;
  size_t missing_established_count_ GUARDED_BY(mutex_) = 0;  // of missing_count_
  bool lookup_changed_ GUARDED_BY(mutex_) = false;
  std::vector<ToUnload> to_unload_ GUARDED_BY(mutex_);
  MemoryBudget memory_ GUARDED_BY(mutex_);
  std::deque<WaitingLoad> wait_for_memory_ GUARDED_BY(mutex_);  // in order of arrival
  std::set<Lacking> lacking_ GUARDED_BY(mutex_);
  // Models on demand that have a version loaded. A review considers no others for eviction.
  std::map<std::string, Model*> movable_ GUARDED_BY(mutex_);
  bool review_memory_ GUARDED_BY(mutex_) = false;
  uint64_t loading_bytes_ GUARDED_BY(mutex_) = 0;  // reserved by loads that run and do not hang
  int loads_pending_ GUARDED_BY(mutex_) = 0;       // started and not over; without hung ones
  int unloads_running_ GUARDED_BY(mutex_) = 0;
  uint64_t unloading_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t load_count_ GUARDED_BY(mutex_) = 0;
  bool is_initial_ GUARDED_BY(mutex_) = true;  // the initial load is not over
  // The model whose source was last found not to have reported. Checked first, since most of the
  // time it still has not.
  std::string untold_ GUARDED_BY(mutex_);
  // True once models were configured and the manager was ready.
  bool is_start_over_ GUARDED_BY(mutex_) = false;
  bool looks_at_use_ GUARDED_BY(mutex_) = false;
  bool draining_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;

  const std::unique_ptr<Background> background_;  // last, so that its threads are joined first
};

// One change of the state. Holds the mutex for its scope. At the end it flushes, releases the
// mutex, and then delivers the events and answers the waiters. It does nothing if nothing was
// changed. One thread at a time.
// changed that is nothing. One thread at a time.
class ABSL_SCOPED_LOCKABLE Manager::Impl::Change final {
 public:
  explicit Change(Impl& impl) ABSL_EXCLUSIVE_LOCK_FUNCTION(impl.mutex_) : impl_(impl) {
    impl.mutex_.lock();
  }
  // The analysis cannot follow a mutex that the constructor has locked.
  ~Change() ABSL_UNLOCK_FUNCTION() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    Calls calls = impl_.Flush();
    impl_.mutex_.unlock();
    impl_.events_.Deliver();
    for (Task& call : calls) call();
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  Impl& impl_;
};

}  // namespace penstock::core
