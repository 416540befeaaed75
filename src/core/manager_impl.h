// SPDX-License-Identifier: Apache-2.0
// The state of a Manager and its transitions; private to manager.cc, manager_impl.cc,
// manager_loads.cc, manager_memory.cc and manager_demand.cc.
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

// With TensorFlow Serving's texts; without a version: for the newest.
Status ServableNotFound(std::string_view name, std::optional<VersionNumber> version);
inline Status LoadCancelled() { return absl::CancelledError("Loading of servable cancelled"); }

// All state, and what changes it. Thread-safe. Every function that changes something makes a
// Change, and lets the models concerned advance.
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
  // What a request gets that found no such version ready. `label`: by which it named the version.
  Status WhyNotReady(std::string_view name, std::optional<VersionNumber> version,
                     std::string_view label = "") EXCLUDES(mutex_);
  std::vector<std::string> ModelNames() EXCLUDES(mutex_);
  std::vector<VersionStatus> VersionStatuses(std::string_view name) EXCLUDES(mutex_);
  Status SourceStatus(std::string_view name) EXCLUDES(mutex_);
  std::map<std::string, LabelState> Labels(std::string_view name) EXCLUDES(mutex_);
  std::optional<ModelOutlook> Outlook(std::string_view name) EXCLUDES(mutex_);
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
    std::optional<VersionNumber> version;  // none: any
    std::string label;                     // by which the request named it; may be empty
    SteadyTime deadline = kNoDeadline;
    OnLoaded done;
    std::function<bool()> is_wanted;  // null: yes
  };

  // One model, from SetModels until it is removed and its last version is gone. Under the mutex.
  struct Model {
    Model(const std::string& name, std::vector<ManagerEvent>& events, int retries_max)
        : versions(name, events, retries_max) {}

    ModelConfig config;
    bool is_configured = true;  // false: removed, and forgotten once its versions are gone
    bool was_told = false;      // the source has said something since it was configured
    bool is_of_start = false;   // configured before the manager was ready for the first time
    bool has_served = false;    // has had a version ready since it was added
    // Of the versions that were to be loaded before it served, none is still being loaded.
    bool is_first_load_over = false;
    Status source_status;
    ModelVersions versions;
    std::map<std::string, VersionNumber> labels;  // in force
    uint64_t lacked_bytes = 0;                    // its entry in lacking_; 0: none
    // Of a model that is loaded on demand.
    bool is_demanded = false;
    SteadyTime last_used;      // as far as it was looked at
    uint64_t uses_seen = 0;    // then
    uint64_t recent_uses = 0;  // between the last two looks
    SteadyTime retried_since;  // when requests last had failed loads begun anew
    // Of any model.
    std::vector<Waiter> waiters;
    // For the first deadline of those, or an earlier time; none: nobody who waits has one.
    std::optional<TimerId> timer;
    // Of those who are being told that it is ready: until they have its handles it stays. Shared
    // with the calls that tell them, which this model may not outlive.
    std::shared_ptr<int> answering = std::make_shared<int>(0);
  };
  using Calls = std::vector<Task>;
  class Change;

  Model* FindConfigured(std::string_view name) REQUIRES(mutex_);
  // Null also if the source tells what it found for an earlier configuration that asked for other
  // versions.
  Model* FindToldOf(std::string_view name, uint64_t generation) REQUIRES(mutex_);
  // True if what the source tells is its answer to the configuration in force.
  static bool IsAnswer(const Model& model, uint64_t generation) {
    return generation == 0 || generation >= model.config.generation;
  }
  Status CheckConfigs(const std::vector<ModelConfig>& configs) const REQUIRES(mutex_);
  void Configure(ModelConfig config) REQUIRES(mutex_);
  void Remove(Model& model) REQUIRES(mutex_);

  // A model that was removed and has nothing in memory any more.
  void Forget(Model& model) REQUIRES(mutex_);
  // Begins what the policy wants until it wants nothing more; forgets what is over. The model may
  // be gone then.
  void Advance(Model& model) REQUIRES(mutex_);
  static bool ShallBeLoaded(const Model& model);
  // For a version that is not complete yet.
  static bool IsSourceWaiting(const Model& model) {
    return model.source_status.code() == StatusCode::kFailedPrecondition;
  }
  // Versions that labels keep, because those that they shall move to are not ready yet.
  static std::set<VersionNumber> HeldByLabels(const Model& model);
  std::vector<VersionStatus> StatusesOf(const Model& model) const REQUIRES(mutex_);
  static std::map<std::string, LabelState> LabelsOf(const Model& model);
  void StartUnload(Model& model, VersionNumber number) REQUIRES(mutex_);
  void UnloadAll(Model& model) REQUIRES(mutex_);
  // Has something unloaded when the lookup has been published. `is_version`: a version is
  // kUnloading until then, rather than that a load gave what nobody waited for.
  void Release(const ServableId& id, std::unique_ptr<VersionEntry> entry, uint64_t load,
               bool is_version) REQUIRES(mutex_);
  void UpdateLookup(Model& model) REQUIRES(mutex_);
  static void MoveLabels(Model& model);
  bool IsReadyByRule() const REQUIRES(mutex_);
  void EndInitialLoad() REQUIRES(mutex_);
  // Replaces what requests find of a model; null: nothing any more.
  void SetView(const std::string& name, std::shared_ptr<const Snapshot::Model> view)
      REQUIRES(mutex_);
  // Publishes what requests can find, then queues the events. Returns what is to be called once the
  // mutex is free.
  [[nodiscard]] Calls Flush() REQUIRES(mutex_);
  bool IsIdle() EXCLUDES(mutex_);

  // --- Loads (manager_loads.cc).

  void StartLoad(Model& model, VersionNumber number) REQUIRES(mutex_);
  // On a load thread.
  void EstimateLoad(const std::shared_ptr<LoadJob>& job) EXCLUDES(mutex_);
  void RunLoad(const std::shared_ptr<LoadJob>& job) EXCLUDES(mutex_);
  // What the loader gives; sets `taken` to what it says of it.
  StatusOr<std::unique_ptr<Servable>> CallLoad(Loader& loader, ResourceEstimate& taken)
      EXCLUDES(mutex_);
  void BeginLoad(Model& model, const std::shared_ptr<LoadJob>& job) REQUIRES(mutex_);
  void FinishLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) REQUIRES(mutex_);
  void FailLoad(Model& model, LoadJob& job, const Status& error, uint64_t needed_bytes = 0)
      REQUIRES(mutex_);
  void EndHungLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) REQUIRES(mutex_);
  // A step of the load has a thread now, or is done with it.
  void BeginStep(LoadJob& job) REQUIRES(mutex_);
  void EndStep(LoadJob& job) REQUIRES(mutex_);
  // Times the step of a load that now begins.
  void StartTimeout(const Model& model, const std::shared_ptr<LoadJob>& job) REQUIRES(mutex_);
  void TimeOut(const std::shared_ptr<LoadJob>& job, uint64_t step, Duration timeout)
      EXCLUDES(mutex_);
  // Has the version loaded again after a pause that grows with `failures`; 0: not at all.
  void RetryLater(const ServableId& id, int failures) REQUIRES(mutex_);
  void Retry(const ServableId& id, int failures) EXCLUDES(mutex_);
  void Retire(const ServableId& id, uint64_t load, const Status& reason) EXCLUDES(mutex_);
  void FinishUnload(const ServableId& id, uint64_t load, bool is_version) EXCLUDES(mutex_);

  // --- Memory (manager_memory.cc).

  // A load that waits for memory. Its model stays while it does.
  struct WaitingLoad {
    Model* model = nullptr;
    std::shared_ptr<LoadJob> job;
    bool was_told = false;  // its status says that it waits
  };
  // One that has versions in error for want of memory, by how much the smallest takes.
  struct Lacking {
    uint64_t bytes = 0;
    std::string name;

    auto operator<=>(const Lacking&) const = default;
  };
  // What one review finds out, and changes.
  struct Room {
    uint64_t movable = 0;  // what unloading all models that may be would free
    uint64_t claimed = 0;  // by loads that go on waiting
    // Those models, the one that was not used for longest first; null: it is being unloaded. None:
    // not looked for yet.
    std::optional<std::vector<Model*>> candidates;
    LoadJob* overtakable = nullptr;  // the first that waits without a claim
    std::set<Model*> changed;        // to be advanced at the end
  };

  // Begins the load, or has it wait for the review that follows.
  void Admit(Model& model, const std::shared_ptr<LoadJob>& job) REQUIRES(mutex_);
  bool TryReserve(const LoadJob& job, uint64_t claimed) REQUIRES(mutex_);
  // Memory has been given back, or loads wait that did not before: those that wait may go on, or
  // wait in vain.
  void ReviewMemory() REQUIRES(mutex_);
  void ReviewWaiting(WaitingLoad waiting, Room& room) REQUIRES(mutex_);
  // Keeps the books of the models that lack memory, and of those that may be unloaded to make room.
  void NoteMemory(Model& model) REQUIRES(mutex_);
  void ForgetMemory(Model& model) REQUIRES(mutex_);
  // Has loads tried again that failed for want of memory.
  void RetryFitting(Room& room) REQUIRES(mutex_);
  Status NoMemory(const LoadJob& job) const REQUIRES(mutex_);
  // What is free, and what is being unloaded.
  uint64_t ComingBytes() const REQUIRES(mutex_);
  uint64_t ReadyBytes(const Model& model) const REQUIRES(mutex_);
  // What unloading the model to make room would free.
  uint64_t Movable(const Model& model) const REQUIRES(mutex_);
  // Unloads models that were not used for longest, so that `bytes` come, if that can be.
  void MakeRoom(uint64_t bytes, const Model& for_model, Room& room) REQUIRES(mutex_);
  std::vector<Model*> MovableModels() REQUIRES(mutex_);

  // --- Requests that wait, and models that are loaded on demand (manager_demand.cc).

  // Also refuses the request if too many wait. False then.
  // True if a request for `version` (none: for any) may wait, as what is loaded first is not there.
  static bool IsInFirstLoad(const Model& model, std::optional<VersionNumber> version);
  bool AddWaiter(Model& model, std::optional<VersionNumber> version, Demand demand)
      REQUIRES(mutex_);
  // The version that a demand means; none: any.
  static std::optional<VersionNumber> VersionOf(const Model& model, const Demand& demand);
  // Has versions begun anew that failed, and that the request needs; not too often.
  void RetryForRequest(Model& model, std::optional<VersionNumber> version) REQUIRES(mutex_);
  // What there is to say to those who wait for the version, or for any; none: nothing yet. `label`
  // as for WhyNotReady.
  std::optional<Status> AnswerFor(const Model& model, std::optional<VersionNumber> version,
                                  std::string_view label) const REQUIRES(mutex_);
  // Why the model does not have the version, and which it has: NOT_FOUND, or UNAVAILABLE if a label
  // names the version, since then the configuration is wrong and not the request.
  static Status VersionAbsent(const Model& model, VersionNumber version, std::string_view label);
  // Calls those who wait if there is something to say.
  void SettleWaiters(Model& model) REQUIRES(mutex_);
  // Calls all with an error.
  void RefuseWaiters(Model& model, const Status& error) REQUIRES(mutex_);
  void Answer(OnLoaded done, Status status) REQUIRES(mutex_);
  // Ends what SettleWaiters began with OK.
  void FinishAnswers(int& answering) EXCLUDES(mutex_);
  // Answers those who do not wait any more.
  void DropGoneWaiters(Model& model) REQUIRES(mutex_);
  // Sets the model's timer, unless it is for no later time; cancels it if nobody waits.
  void TimeWaiters(Model& model, SteadyTime deadline) REQUIRES(mutex_);
  void TimeOutWaiters(const std::string& name) EXCLUDES(mutex_);
  // Looks which models were used, and unloads those that were idle for long.
  void LookAtUse() EXCLUDES(mutex_);
  void NoteUse(Model& model, SteadyTime now) REQUIRES(mutex_);
  void StartLookingAtUse() REQUIRES(mutex_);

  // What requests can no longer find once the lookup has been published.
  struct ToUnload {
    ServableId id;
    std::unique_ptr<VersionEntry> entry;
    uint64_t load = 0;
    bool is_version = true;
  };

  const ManagerOptions options_;

  // Synchronised by themselves.
  SnapshotCell lookup_;
  EventLog events_;
  MemoryMeter meter_;

  Mutex mutex_;
  std::vector<ManagerEvent> new_events_ GUARDED_BY(mutex_);
  Calls new_calls_ GUARDED_BY(mutex_);
  std::map<std::string, Model, std::less<>> models_ GUARDED_BY(mutex_);
  // What is still listed of a model that was removed.
  struct RemovedModel {
    std::vector<VersionStatus> versions;
    SteadyTime since;
  };
  std::map<std::string, RemovedModel, std::less<>> removed_ GUARDED_BY(mutex_);
  // The models of the next snapshot, and whether they differ from the published one's.
  PersistentMap<std::shared_ptr<const Snapshot::Model>> lookup_models_ GUARDED_BY(mutex_);
  // Of those: how many count as ready, and how many should but do not. So readiness is known
  // without a look at all of them.
  size_t ready_count_ GUARDED_BY(mutex_) = 0;
  size_t missing_count_ GUARDED_BY(mutex_) = 0;
  size_t missing_established_count_ GUARDED_BY(mutex_) = 0;  // of the latter
  bool lookup_changed_ GUARDED_BY(mutex_) = false;
  std::vector<ToUnload> to_unload_ GUARDED_BY(mutex_);
  MemoryBudget memory_ GUARDED_BY(mutex_);
  std::deque<WaitingLoad> wait_for_memory_ GUARDED_BY(mutex_);  // first come, first
  std::set<Lacking> lacking_ GUARDED_BY(mutex_);
  // Models that are loaded on demand and have something loaded; a review looks at no others.
  std::map<std::string, Model*> movable_ GUARDED_BY(mutex_);
  bool review_memory_ GUARDED_BY(mutex_) = false;
  uint64_t loading_bytes_ GUARDED_BY(mutex_) = 0;  // reserved by loads that run and do not hang
  int loads_pending_ GUARDED_BY(mutex_) = 0;       // started and not over, hung ones left out
  int unloads_running_ GUARDED_BY(mutex_) = 0;
  uint64_t unloading_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t load_count_ GUARDED_BY(mutex_) = 0;
  bool is_initial_ GUARDED_BY(mutex_) = true;  // more load threads than later
  // The model whose source was last seen to have told nothing: most of the time it still has not.
  std::string untold_ GUARDED_BY(mutex_);
  // Models were configured, and the manager was ready.
  bool is_start_over_ GUARDED_BY(mutex_) = false;
  bool looks_at_use_ GUARDED_BY(mutex_) = false;
  bool draining_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;

  const std::unique_ptr<Background> background_;  // last, so that its threads are joined first
};

// One change of the state: the mutex for the scope, and at its end everything that follows from it:
// flushes, lets go of the mutex, and then tells the events and those that waited. Where nothing was
// changed that is nothing. One thread at a time.
class ABSL_SCOPED_LOCKABLE Manager::Impl::Change final {
 public:
  explicit Change(Impl& impl) ABSL_EXCLUSIVE_LOCK_FUNCTION(impl.mutex_) : impl_(impl) {
    impl.mutex_.lock();
  }
  // The analysis cannot follow a mutex from the constructor into here.
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
