// SPDX-License-Identifier: Apache-2.0
// The manager keeps the versions of all models. It loads the versions that a source aspires to,
// unloads the others, and gives requests handles to the versions that are ready. It decides for
// each model separately, on events. So one slow load, one broken model or one slow request does not
// hold up the others.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/process_memory.h"
#include "base/status.h"
#include "core/background.h"
#include "core/servable.h"
#include "core/source.h"
#include "core/version_policy.h"

namespace penstock::core {

// The published states. The numbers are those of TensorFlow Serving.
enum class VersionState { kStart = 10, kLoading = 20, kAvailable = 30, kUnloading = 40, kEnd = 50 };

std::string_view VersionStateName(VersionState state);  // as "AVAILABLE"

// The state of one version.
struct VersionStatus {
  ServableId id;
  VersionState state = VersionState::kStart;
  // The reason why the version broke, ended, waits or is retried. With kStart, an error means that
  // its load failed, or that it broke, and that it is loaded again after a pause.
  Status status;
  std::chrono::system_clock::time_point since;  // when it entered the state
  // With kAvailable: the time that the load ran, without its waits for a thread and for memory.
  Duration load_time{};
  // Events do not set the members from here on.
  uint64_t memory_bytes = 0;        // reserved for this version
  bool is_memory_measured = false;  // its load was measured
  bool is_aspired = false;          // its source wants it loaded

  // True if its last load failed, for good or until a retry. False while the retry runs.
  bool HasFailed() const {
    return !status.ok() && (state == VersionState::kStart || state == VersionState::kEnd);
  }
};

class VersionEntry;  // internal: one loaded version and its reference counts

// Pins one loaded version: the version is not unloaded while a handle to it exists. A handle costs
// no write to a shared cache line. It can be moved, and is copied only by Share. One thread at a
// time; any thread may destroy it.
class Handle {
 public:
  Handle() = default;
  Handle(Handle&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~Handle();

  // Returns another handle to the same version. Requires that *this has a version.
  Handle Share() const;
  Servable& servable() const;
  const ServableId& id() const;
  explicit operator bool() const { return entry_ != nullptr; }

 private:
  friend class Manager;
  explicit Handle(VersionEntry* entry) : entry_(entry) {}  // takes over one reference
  VersionEntry* entry_ = nullptr;
};

// The rule that says which models need a ready version before the manager is ready.
struct ReadinessRule {
  enum class Kind {
    kAllModels,    // those of the start, and those that have served since they were configured
    kEveryModel,   // all that are to be loaded
    kAnyModel,     // at least one
    kNamedModels,  // those in `models`
  };
  Kind kind = Kind::kAllModels;
  std::set<std::string> models = {};  // each must be configured
};

struct ManagerOptions {
  int load_threads = 2;    // loads at the same time, over all models
  int unload_threads = 1;  // unloads at the same time
  // Loads at the same time until every model of the first list has been loaded or has failed. 0:
  // use load_threads.
  int initial_load_threads = 0;
  int load_nice = 10;  // OS priority of the load and unload threads; requests go first
  // Retries of a failed load while its version stays aspired; negative: no limit. A version that
  // breaks while it serves counts as failed too. But if it had served for load_retry_interval_max,
  // it is loaded again at once, and the count of its failures starts at 0.
  int load_retries_max = 5;
  // Wait before the first retry. Each further wait is twice as long, up to the maximum.
  Duration load_retry_interval = std::chrono::seconds(1);
  Duration load_retry_interval_max = std::chrono::minutes(1);
  // A load fails if its estimate or its Load takes longer; 0: no limit. The manager asks it to end,
  // lets other loads run in its place, and retries the version once the load has ended.
  // ModelConfig::load_timeout overrides this for one model.
  Duration load_timeout = Duration::zero();
  // Limit for the memory of all models together, in bytes; 0: none. The sum counts what the loaders
  // report. A load over the limit waits while other loads or unloads may free enough memory, else
  // it fails with RESOURCE_EXHAUSTED. The manager retries it as soon as there is headroom.
  uint64_t ram_bytes_max = 0;
  // Reads the memory of the process, to measure loads. Called on any thread, and by several at the
  // same time. Null: the estimates of the loaders are used.
  std::function<std::optional<ProcessMemory>()> read_memory = nullptr;
  // Limit for the requests that wait for one model: for its first load, or for a load on demand.
  size_t demand_waiters_max = 1000;
  ReadinessRule readiness = {};
  // Limit for the versions of one model that have ended and are still listed.
  size_t ended_versions_max = 10;
  // Models that were removed stay listed, with their ended versions: at most so many, for so long.
  size_t ended_models_max = 100;
  Duration ended_models_time = std::chrono::minutes(10);
};

// When the aspired versions of a model are loaded.
enum class LoadMode {
  kAlways,
  kOnDemand,  // from the first request, until it is idle for long or others need the memory
  kNever,     // not loaded until the mode changes
};

// The configuration of one model.
struct ModelConfig {
  std::string name;
  const VersionPolicy* policy = &AvailabilityPreservingPolicy();  // outlives the manager
  // A label may name a version that is not ready. If the label pointed to a ready version before,
  // it stays there until the new one is ready. It keeps that version loaded meanwhile, except under
  // ResourcePreservingPolicy.
  std::map<std::string, VersionNumber> labels = {};
  LoadMode load_mode = LoadMode::kAlways;
  // For kOnDemand: the model is unloaded after this time without a request. 0: no limit.
  Duration unload_after_idle = Duration::zero();
  bool keep_loaded = false;                             // for kOnDemand: it is never evicted
  std::optional<Duration> load_timeout = std::nullopt;  // overrides ManagerOptions; 0: no limit
  // Overrides the loader's figure for the memory of a loaded version, in bytes. 0: use the
  // loader's.
  uint64_t memory_bytes = 0;
  // Grows from one configuration to the next. A source that knows the generation passes it with its
  // report. So a report for an earlier configuration does not count as the answer to this one. 0:
  // none.
  uint64_t generation = 0;
  // Oldest generation with the same base path and selection of versions. A report for it, or for a
  // later one, is still applied, but does not count as the answer to the current configuration.
  // Without this, a slow source would be ignored for as long as other models keep changing. 0:
  // `generation`.
  uint64_t same_since = 0;
  // True: versions that failed to load are begun anew, even if they have used all their retries. A
  // change from kNever to another mode does the same.
  bool retries_failed = false;
};

// For messages: lists the versions of a model, ascending, the newest ten.
std::string SayVersions(std::vector<VersionNumber> versions);

// The state of a label.
struct LabelState {
  VersionNumber wanted;    // from the configuration
  VersionNumber in_force;  // what requests get: the last wanted version that was ready
  // The wanted version is ready or aspired, or it may still become so: the source has not reported
  // yet, or waits until a version is complete.
  bool is_coming = false;
  bool is_ready = false;  // true if `in_force` is ready
};

// A snapshot of one model.
struct ModelOutlook {
  bool is_ready = false;     // as IsModelReady
  bool is_expected = false;  // as IsModelExpected
  // The source has reported versions, or an error, since the model was configured. A report that a
  // version is not complete does not count.
  bool was_told = false;
  Status source_status;
  std::vector<VersionStatus> versions;  // newest first
  std::map<std::string, LabelState> labels;
};

// A request that needs a version which is not loaded yet.
struct Demand {
  std::string model;
  std::optional<VersionNumber> version = std::nullopt;  // set at most one of version and label;
  std::string label = "";                               // none of them: any version
  SteadyTime deadline = kNoDeadline;
  // Called once, on a thread of the manager or before the call returns. OK: the version is ready,
  // and stays loaded until `done` returns. UNAVAILABLE, with the reason: the version cannot be
  // ready now. NOT_FOUND: the source has no such version. DEADLINE_EXCEEDED: the deadline passed.
  absl::AnyInvocable<void(Status)> done;
  std::function<bool()> is_wanted = nullptr;  // false once the client has gone; null: always true
};

// A load that runs or hangs on a thread.
struct RunningLoad {
  ServableId id;
  Duration time{};  // since the load got its thread
};

// The argument of a listener. With `version`: the version entered a state. Without: a model was
// added, removed or reconfigured, or the status of its source changed.
struct ManagerEvent {
  std::string model;
  std::optional<VersionStatus> version;
};
using ManagerListener = std::function<void(const ManagerEvent&)>;

// Loads, publishes and unloads versions. Thread-safe. Stop returns true only after every Handle is
// destroyed. Sources must be stopped before the manager is destroyed.
class Manager final : public AspiredTarget {
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
  void SetAspired(std::string_view model, std::vector<AspiredVersion> versions,
                  uint64_t generation = 0) override;
  void SetSourceStatus(std::string_view model, Status status, uint64_t generation = 0) override;

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
  // Returns the last status that the source of the model reported; NOT_FOUND if the model is
  // unknown.
  Status SourceStatus(std::string_view name) const;
  std::map<std::string, LabelState> Labels(std::string_view name) const;
  // Returns INVALID_ARGUMENT "Unrecognized servable version label: L" with the labels of the model.
  Status UnknownLabel(std::string_view name, std::string_view label) const;
  // Returns all of these together; nullopt if the model is not configured.
  std::optional<ModelOutlook> Outlook(std::string_view name) const;
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
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::core
