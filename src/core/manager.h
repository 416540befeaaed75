// SPDX-License-Identifier: Apache-2.0
// The manager keeps the versions of all models. It loads the versions that a source aspires to,
// unloads the others, and gives requests handles to the versions that are ready. It decides for
// each model separately, on events. So one slow load, one broken model or one slow request does not
// hold up the others.
//
// Where the versions come from: a source reports them through AspiredTarget. The server's sources
// are folders in src/sources that implement ModelSource (docs/add-a-source.md). What is in a
// version is the business of its Loader.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/status.h"
#include "core/background.h"
#include "core/demand.h"
#include "core/demand_queue.h"
#include "core/event_log.h"
#include "core/handle.h"
#include "core/load_runner.h"
#include "core/lookup.h"
#include "core/manager_options.h"
#include "core/memory_admission.h"
#include "core/memory_meter.h"
#include "core/model_config.h"
#include "core/model_record.h"
#include "core/model_status.h"
#include "core/removed_models.h"
#include "core/snapshot_builder.h"
#include "core/source.h"

namespace penstock::core {

// Loads, publishes and unloads versions.
//
//   Manager manager({.load_threads = 4});
//   TRY(manager.SetModels({{.name = "resnet"}}));
//   manager.SetAspired("resnet", std::move(versions));   // usually a source does this
//   manager.WaitUntilIdle();                             // tests only; events tell the same
//   StatusOr<Handle> handle = manager.GetHandle("resnet");
//   if (handle.ok()) Use(handle->servable());            // loaded for as long as the handle lives
//
// Two things drive it: reports of sources, and the ends of loads and unloads. After each, the
// model's TransitionPolicy says what to do next (Advance). A new source or a new kind of model
// needs no change here. Thread-safe. Stop returns true only after every Handle is destroyed.
// Sources must be stopped before the manager is destroyed.
class Manager final : public AspiredTarget, private LoadRunner::Owner {
 public:
  explicit Manager(ManagerOptions options = {});
  // Runs on the background that `make_background` makes, for tests and simulators.
  Manager(ManagerOptions options, const BackgroundFactory& make_background);
  ~Manager() override;  // calls Stop

  // --- Configuration.

  // Sets the complete list of models. New models are added, and wait for their source. Models
  // missing from the list are removed as by RemoveModel. The others get their new policy, labels
  // and mode. After an error nothing has changed. Errors: INVALID_ARGUMENT (empty or repeated
  // name), FAILED_PRECONDITION (the manager drains or has stopped).
  Status SetModels(std::vector<ModelConfig> models);
  // Adds one model, or reconfigures it. Errors as for SetModels.
  Status SetModel(ModelConfig model);
  // Unloads the versions of the model and removes it. NOT_FOUND if there is no such model.
  Status RemoveModel(std::string_view name);

  // Called by sources; see AspiredTarget.
  void Report(std::string_view model, SourceReport report, uint64_t generation = 0) override;

  // --- Those who use a version for longer than a request. All do nothing if the version is not
  // there any more.

  // Keeps a version loaded that its source does not want any more, as long as the source wants
  // another one in its place. So it ends with the model, or if an operator unloads the model.
  // Requests that name no version get the other one. The policy ResourcePreserving goes first: it
  // has room for one version only. Returns the number for EndHold; 0: the model is not configured.
  uint64_t Hold(const ServableId& id);
  void EndHold(const std::string& model, uint64_t hold);
  // Holds a version for `time`, on behalf of another server. Further leases of it prolong the hold.
  // Does nothing if the version is not ready.
  void Lease(const ServableId& id, Duration time);
  // Loads a ready version again, on this thread, and puts the result in its place, without a gap.
  // For loads that are quick, and take no memory to speak of. Requests keep what they have. An
  // error changes nothing. Errors: those of the loader; FAILED_PRECONDITION if the version is not
  // ready.
  Status Renew(const ServableId& id);
  // A ready version says what is wrong with it, or that nothing is (OK). CanModelAnswer
  // tells; the readiness of the server does not change, because its other models can answer. Causes
  // an event without a version.
  void NoteProblem(const ServableId& id, const Status& problem, bool can_answer);

  // --- Requests. They take no lock and write to no shared cache line, unless the version is not
  // ready.

  // Returns the newest ready version, or `version`. Errors:
  // - NOT_FOUND: the model is not configured, its source has no such version, or only other
  //   versions are ready. The texts are those of TensorFlow Serving, "Servable not found for
  //   request: Latest(NAME)" or "Specific(NAME, V)", followed by the reason.
  // - UNAVAILABLE: no version is ready (it is being loaded, could not be loaded, or the mode of the
  //   model excludes it), or the version has reported itself broken.
  StatusOr<Handle> GetHandle(std::string_view name,
                             std::optional<VersionNumber> version = std::nullopt) const;
  // Returns the version that `label` names. INVALID_ARGUMENT as from UnknownLabel; UNAVAILABLE if
  // that version is not ready; the other errors are those of GetHandle.
  StatusOr<Handle> GetHandleByLabel(std::string_view name, std::string_view label) const;
  // Starts the load of a model on demand, and queues `demand` until it ends. If the source is known
  // not to have the version, fails the demand without a load. Returns false, and does nothing, if
  // the model is not on demand or the manager is draining.
  bool LoadOnDemand(Demand demand);
  // Queues `demand` until the first load of its model is over. That includes the versions that are
  // loaded first, while another one of them is ready already. Returns false, and does nothing, if
  // there is no such load to wait for; the error of GetHandle is the answer then.
  bool AwaitFirstLoad(Demand demand);
  // True if ReadinessRule is met. A model on demand counts as available.
  bool IsReady() const;
  // True if the model has a version available; nullopt if it is not configured.
  std::optional<bool> IsModelReady(std::string_view name) const;
  // As IsModelReady, but false if each of these versions has said that it cannot answer.
  std::optional<bool> CanModelAnswer(std::string_view name) const;
  // False if the model is not configured, is not to be loaded, or is loaded only on demand.
  bool IsModelExpected(std::string_view name) const;
  // True if the model is a model on demand.
  bool IsModelOnDemand(std::string_view name) const;
  // True if the model counts for ReadinessRule::Kind::kAllModels: it is expected, and was
  // configured before the manager was ready for the first time, or has had a version available
  // since it was configured.
  bool IsModelEstablished(std::string_view name) const;
  // True if the model is expected, was configured before the manager was ready for the first time,
  // and has had no version available yet.
  bool IsModelStarting(std::string_view name) const;

  // --- Status.

  // Returns the name of every configured model, sorted.
  std::vector<std::string> ModelNames() const;
  // Returns all known versions of a model, newest first, also for some time after the model was
  // removed. Empty if the model is unknown.
  std::vector<VersionStatus> VersionStatuses(std::string_view name) const;
  // Calls `visit` for each ready version of a model, newest first. Does not count as a use. `visit`
  // must be quick, and must not call the manager.
  void VisitReady(std::string_view name,
                  absl::FunctionRef<void(const ServableId&, Servable&)> visit) const;
  // Returns the last status that the source of the model reported; NOT_FOUND if the model is
  // unknown. With `version`: the reason why the source leaves it out, if there is one.
  Status SourceStatus(std::string_view name,
                      std::optional<VersionNumber> version = std::nullopt) const;
  std::map<std::string, LabelState> Labels(std::string_view name) const;
  // Returns INVALID_ARGUMENT "Unrecognized servable version label: L" with the labels of the model.
  Status UnknownLabel(std::string_view name, std::string_view label) const;
  // Returns all of these together; nullopt if the model is not configured.
  std::optional<ModelStatus> StatusOf(std::string_view name) const;
  // The memory that is reserved for all models together, and the limit (0: none), in bytes.
  struct Memory {
    uint64_t reserved_bytes = 0;
    uint64_t limit_bytes = 0;
  };
  Memory MemoryUse() const;

  // Calls `listener` with every event, in order, one at a time, on a thread of the manager or of
  // the caller that caused the event. No lock is held, but the listener should be quick. It
  // receives AVAILABLE after requests can find the version. Returns the id for RemoveListener.
  int AddListener(ManagerListener listener);
  // After the return the listener is not called again. It is not running either, unless it made
  // this call itself.
  void RemoveListener(int id);

  // Returns true as soon as `condition` holds, or false if `until` passes first. The condition is
  // tested now and after every event, with no lock held. A condition that takes a handle counts as
  // a use of the model, so that the model is not idle.
  bool WaitFor(const std::function<bool()>& condition, SteadyTime until = kNoDeadline) const;
  // Waits until nothing is loaded or unloaded and every event has been delivered. A load that waits
  // for its retry does not count. Returns false if `until` passes first.
  bool WaitUntilIdle(SteadyTime until = kNoDeadline) const;

  // --- The end.

  // Returns the loads that have a thread now, hung ones included, sorted by model and version.
  std::vector<RunningLoad> RunningLoads() const;

  // From now on nothing new is loaded, and the version lists of sources are ignored. Ready versions
  // go on serving. Loads that run are asked to end.
  void StartDrain();
  // Unloads everything. Returns true when the last version is gone, which needs its last handle to
  // be gone. Returns false if `until` passes first; the destructor then still waits.
  bool Stop(SteadyTime until = kNoDeadline);
  // Returns when no unload runs any more. Does not wait for loads.
  void WaitUntilUnloaded() const;

 private:
  using Model = ModelRecord;
  class Change;
  // A version that requests can no longer find once the next snapshot is published.
  struct ToUnload {
    ServableId id;
    std::unique_ptr<VersionEntry> entry;
    uint64_t load = 0;
    // True if its version is kUnloading until the unload is over; false if the version was renewed,
    // or a hung load gave it after the load had been given up.
    bool is_version = true;
  };

  // --- Configuration and reports (manager.cc).

  Status Configure(std::vector<ModelConfig> configs, bool is_complete_list) EXCLUDES(mutex_);
  Status CheckConfigs(const std::vector<ModelConfig>& configs) const REQUIRES(mutex_);
  void ConfigureModel(ModelConfig config) REQUIRES(mutex_);
  // Takes over the list of a report.
  void SetVersions(Model& model, std::vector<AspiredVersion> versions) REQUIRES(mutex_);
  void Remove(Model& model) REQUIRES(mutex_);
  // Erases a model that was removed and has nothing in memory any more. It stays listed for a
  // while.
  void Forget(Model& model) REQUIRES(mutex_);
  Model* FindConfigured(std::string_view name) REQUIRES(mutex_);
  const Model* FindConfigured(std::string_view name) const REQUIRES(mutex_);

  // --- Transitions (manager.cc).

  // Starts the actions that the policy wants, until it wants nothing more, and forgets old ended
  // versions. May erase the model.
  void Advance(Model& model) REQUIRES(mutex_);
  void StartUnload(Model& model, VersionNumber number) REQUIRES(mutex_);
  // Ends the lease if nobody has prolonged it.
  void ReviewLease(const ServableId& id) EXCLUDES(mutex_);
  void UnloadAll(Model& model) REQUIRES(mutex_);
  // Unloads the entry after the next snapshot is published.
  void Release(ToUnload item) REQUIRES(mutex_);
  // Takes a version that reported itself broken from service. `load`: the load that gave it.
  void Retire(const ServableId& id, uint64_t load, const Status& reason) EXCLUDES(mutex_);
  void FinishUnload(const ServableId& id, uint64_t load, bool is_version) EXCLUDES(mutex_);
  // Lets a version that this load gave report itself broken.
  void WatchBroken(Servable& servable, const ServableId& id, uint64_t load) REQUIRES(mutex_);
  // Call it whenever the ready versions or the configuration have changed: updates what requests
  // find, and how much memory evicting the model would free.
  void UpdateView(Model& model) REQUIRES(mutex_);
  // The end of each Change: reviews the memory, publishes what requests can find, and queues the
  // unloads and events. The caller must run the returned calls once the mutex is free.
  [[nodiscard]] std::vector<Task> Flush() REQUIRES(mutex_);
  bool IsIdle() const EXCLUDES(mutex_);

  // --- Loads and memory (manager_loads.cc).

  bool BeginEstimate(const std::shared_ptr<LoadJob>& job) override EXCLUDES(mutex_);
  void EndEstimate(const std::shared_ptr<LoadJob>& job,
                   StatusOr<ResourceEstimate> estimate) override EXCLUDES(mutex_);
  bool BeginLoad(const std::shared_ptr<LoadJob>& job) override EXCLUDES(mutex_);
  void EndLoad(const std::shared_ptr<LoadJob>& job, StatusOr<std::unique_ptr<Servable>> servable,
               const ResourceEstimate& taken) override EXCLUDES(mutex_);
  void EndTimeLimit(const std::shared_ptr<LoadJob>& job, uint64_t step, Duration limit) override
      EXCLUDES(mutex_);
  void Retry(const ServableId& id, int failures) override EXCLUDES(mutex_);
  void FinishLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) REQUIRES(mutex_);
  // `needed_bytes`: as for ModelVersions::FailLoad.
  void FailLoad(Model& model, LoadJob& job, const Status& error, uint64_t needed_bytes = 0)
      REQUIRES(mutex_);
  void EndHungLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) REQUIRES(mutex_);
  // Goes back to the usual number of load threads, if every model of the first list has been loaded
  // or has failed.
  void EndInitialLoad() REQUIRES(mutex_);
  // Decides again about the loads that wait for memory, or failed for lack of it.
  void ReviewMemory() REQUIRES(mutex_);
  void Evict(Model& model) REQUIRES(mutex_);
  std::vector<std::string> EvictionOrder() REQUIRES(mutex_);
  // Finds out which models were used since the last poll, and unloads those that were idle too
  // long. The polls run only while a model on demand is loaded, and if there is a limit for the
  // memory or for the idle time.
  void PollUse() EXCLUDES(mutex_);
  void SchedulePoll() REQUIRES(mutex_);
  void PollUseOf(Model& model, SteadyTime now) REQUIRES(mutex_);

  // --- Requests and status (manager_requests.cc).

  // The error for a request that found no such version ready. `label`: the label that named the
  // version.
  Status ErrorFor(std::string_view name, std::optional<VersionNumber> version,
                  std::string_view label = "") const EXCLUDES(mutex_);
  // Retries failed versions that the request needs; at most once per load_retry_interval_max.
  void RetryForRequest(Model& model, std::optional<VersionNumber> version) REQUIRES(mutex_);
  // Answers the requests that wait for the model and need not wait any more.
  void SettleWaiters(const Model& model) REQUIRES(mutex_);
  void FinishAnswers(const std::shared_ptr<int>& answering) EXCLUDES(mutex_);
  void TimeOutWaiters(const std::string& model) EXCLUDES(mutex_);
  std::vector<VersionStatus> StatusesOf(const Model& model) const REQUIRES(mutex_);

  const ManagerOptions options_;

  // Thread-safe by themselves.
  mutable SnapshotCell lookup_;
  mutable EventLog events_;
  MemoryMeter meter_;
  Background& background_;  // owned by background_owner_

  mutable Mutex mutex_;
  std::vector<ManagerEvent> new_events_ GUARDED_BY(mutex_);
  std::map<std::string, Model, std::less<>> models_ GUARDED_BY(mutex_);
  RemovedModels removed_ GUARDED_BY(mutex_);
  SnapshotBuilder snapshots_ GUARDED_BY(mutex_);
  MemoryAdmission memory_ GUARDED_BY(mutex_);
  DemandQueue demands_ GUARDED_BY(mutex_);
  LoadRunner loads_ GUARDED_BY(mutex_);
  std::vector<ToUnload> to_unload_ GUARDED_BY(mutex_);
  int unloads_running_ GUARDED_BY(mutex_) = 0;
  bool is_initial_ GUARDED_BY(mutex_) = true;  // the initial load is not over
  // The model whose source was last found not to have reported. Checked first, since most of the
  // time it still has not.
  std::string unreported_ GUARDED_BY(mutex_);
  bool is_polling_use_ GUARDED_BY(mutex_) = false;
  bool draining_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  uint64_t hold_count_ GUARDED_BY(mutex_) = 0;

  // Last, so that the threads are joined before anything that they use is destroyed.
  const std::unique_ptr<Background> background_owner_;
};

// One change of the state. Holds the mutex for its scope. At the end it flushes, releases the
// mutex, and then delivers the events and answers the waiters. It does nothing if nothing was
// changed. One thread at a time.
class ABSL_SCOPED_LOCKABLE Manager::Change final {
 public:
  explicit Change(Manager& manager) ABSL_EXCLUSIVE_LOCK_FUNCTION(manager.mutex_)
      : manager_(manager) {
    manager.mutex_.lock();
  }
  // The analysis cannot follow a mutex that the constructor has locked.
  ~Change() ABSL_UNLOCK_FUNCTION() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    std::vector<Task> calls = manager_.Flush();
    manager_.mutex_.unlock();
    manager_.events_.Deliver();
    for (Task& call : calls) call();
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  Manager& manager_;
};

}  // namespace penstock::core
