// SPDX-License-Identifier: Apache-2.0
// Keeps the versions of all models: loads what a source aspires to, unloads what it no longer does,
// and hands out references to what is ready. Decisions are per model and event driven: one slow
// load, one broken model or one slow request holds up nothing else.
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

// The published states, with TensorFlow Serving's numbers.
enum class VersionState { kStart = 10, kLoading = 20, kAvailable = 30, kUnloading = 40, kEnd = 50 };

std::string_view VersionStateName(VersionState state);  // as "AVAILABLE"

// What is known of one version.
struct VersionStatus {
  ServableId id;
  VersionState state = VersionState::kStart;
  // Why it broke, ended, waits or is being retried. With kStart: its load failed, or it broke, and
  // it is loaded again after a pause.
  Status status;
  std::chrono::system_clock::time_point since;  // when it entered the state
  // Of kAvailable: how long its load worked, without what it waited for a thread or for memory.
  Duration load_time{};
  // Not in events:
  uint64_t memory_bytes = 0;        // that are reserved for it
  bool is_memory_measured = false;  // by its load
  bool is_aspired = false;          // its source wants it loaded

  // Its load failed, for good or until the next try; not while that is under way.
  bool HasFailed() const {
    return !status.ok() && (state == VersionState::kStart || state == VersionState::kEnd);
  }
};

class VersionEntry;  // implementation: one loaded version and its reference counts

// Pins one loaded version: it is not unloaded while a handle lives. Costs no write to a shared
// cache line. Moved, or shared on purpose; one thread at a time; may be destroyed on any thread.
class Handle {
 public:
  Handle() = default;
  Handle(Handle&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~Handle();

  // Another handle of the same version; *this must have one.
  Handle Share() const;
  Servable& servable() const;
  const ServableId& id() const;
  explicit operator bool() const { return entry_ != nullptr; }

 private:
  friend class Manager;
  explicit Handle(VersionEntry* entry) : entry_(entry) {}  // takes over one reference
  VersionEntry* entry_ = nullptr;
};

// Which models must have a version ready for the manager to be ready.
struct ReadinessRule {
  enum class Kind {
    kAllModels,    // those of the start, and those that have served since they were configured
    kEveryModel,   // all that shall be loaded
    kAnyModel,     // one
    kNamedModels,  // `models`
  };
  Kind kind = Kind::kAllModels;
  std::set<std::string> models = {};  // they must be configured
};

struct ManagerOptions {
  int load_threads = 2;    // loads at a time, of all models together
  int unload_threads = 1;  // unloads at a time
  // Loads at a time until every model of the first list has been loaded or has failed; 0: as
  // load_threads.
  int initial_load_threads = 0;
  int load_nice = 10;  // OS priority of the load and unload threads, so that they slow no request
  // Retries of a failed load while its version stays aspired; negative: without end. A version that
  // breaks while it serves has failed too; but if it had served for load_retry_interval_max, it is
  // loaded again at once, and its failures are counted anew.
  int load_retries_max = 5;
  // Wait before the first retry; each further one waits twice as long, up to the maximum.
  Duration load_retry_interval = std::chrono::seconds(1);
  Duration load_retry_interval_max = std::chrono::minutes(1);
  // A load that takes longer has failed; 0: no limit. It is asked to end, and holds up no other;
  // its version is retried once it has ended. For models whose configuration does not say.
  Duration load_timeout = Duration::zero();
  // Limit for the sum of what loaders say that they take, in bytes; 0: none. What does not fit
  // waits while something else may free memory, and else fails; it is loaded as soon as there is
  // room.
  uint64_t ram_bytes_max = 0;
  // Reads the memory of the process, to measure what loads take: on any thread, and by several at a
  // time. Null: what loaders estimate stands.
  std::function<std::optional<ProcessMemory>()> read_memory = nullptr;
  // Requests that may wait for one model: for its first load, or if it is loaded on demand.
  size_t demand_waiters_max = 1000;
  ReadinessRule readiness = {};
  // Versions that have ended and are still listed, per model.
  size_t ended_versions_max = 10;
  // Models that were removed and the versions of which are still listed as ended, for how long.
  size_t ended_models_max = 100;
  Duration ended_models_time = std::chrono::minutes(10);
};

// When the aspired versions of a model are in memory.
enum class LoadMode {
  kAlways,
  kOnDemand,  // from the first request on, until it is idle for long or others need the memory
  kNever,     // not until the mode changes
};

// How one model shall be managed.
struct ModelConfig {
  std::string name;
  const VersionPolicy* policy = &AvailabilityPreservingPolicy();  // outlives the manager
  // A label may name a version that is not ready. If it then points to another one that is ready,
  // it stays there, and keeps it loaded, until the new one is ready.
  std::map<std::string, VersionNumber> labels = {};
  LoadMode load_mode = LoadMode::kAlways;
  // Of kOnDemand. Unloaded after so long without a request; 0: not for that reason.
  Duration unload_after_idle = Duration::zero();
  bool keep_loaded = false;                             // of kOnDemand: never unloaded to make room
  std::optional<Duration> load_timeout = std::nullopt;  // 0: none
  // What a loaded version takes, instead of what its loader says; 0: as that says.
  uint64_t memory_bytes = 0;
  // Grows from one configuration to the next. A source that knows it says it with what it found,
  // so that nothing that was found for an earlier one is taken for an answer to this one; 0: none.
  uint64_t generation = 0;
  // Since this generation the source looks for the same: what it found for it, or later, is still
  // true of the model, though no answer. So a source that is slower than changes of other models
  // come is heard nevertheless. 0: since `generation`.
  uint64_t same_since = 0;
  // Versions that could not be loaded are begun anew, also if they have had all their retries. So
  // they are when the mode was kNever before.
  bool retries_failed = false;
};

// For messages: which versions a model has, ascending, the newest ten.
std::string SayVersions(std::vector<VersionNumber> versions);

// Where a label stands.
struct LabelState {
  VersionNumber wanted;    // as configured
  VersionNumber in_force;  // what requests get: the last wanted one that was ready
  // The wanted version is ready or aspired, or the source has not yet said that it is not.
  bool is_coming = false;
  bool is_ready = false;  // `in_force` is
};

// What is known of a model, all at one moment.
struct ModelOutlook {
  bool is_ready = false;     // as IsModelReady
  bool is_expected = false;  // as IsModelExpected
  // The source has told its versions, or that it cannot, since the model was configured.
  bool was_told = false;
  Status source_status;
  std::vector<VersionStatus> versions;  // newest first
  std::map<std::string, LabelState> labels;
};

// A request that needs a model which is not loaded yet.
struct Demand {
  std::string model;
  std::optional<VersionNumber> version = std::nullopt;  // at most one of version and label;
  std::string label = "";                               // neither: any
  SteadyTime deadline = kNoDeadline;
  // Called once, on a thread of the manager or before the call returns: with OK when the
  // version is ready, which stays until this has returned; with UNAVAILABLE and the reason if it
  // cannot be now; with NOT_FOUND if the source has no such version; with DEADLINE_EXCEEDED at the
  // deadline.
  absl::AnyInvocable<void(Status)> done;
  std::function<bool()> is_wanted = nullptr;  // false once nobody waits any more; null: always true
};

// A load that has a thread, or hangs on one.
struct RunningLoad {
  ServableId id;
  Duration time{};  // since it got its thread
};

// What a listener hears: that a version entered a state, or, without `version`, that a model was
// added, removed or reconfigured, or that its source's status changed.
struct ManagerEvent {
  std::string model;
  std::optional<VersionStatus> version;
};
using ManagerListener = std::function<void(const ManagerEvent&)>;

// Thread-safe. Sources and everything that holds Handles must let go before Stop can return.
class Manager final : public AspiredTarget {
 public:
  explicit Manager(ManagerOptions options = {});
  // On a background of one's own.
  Manager(ManagerOptions options, const BackgroundFactory& make_background);
  ~Manager() override;  // stops it

  // --- Configuration.

  // The complete list of models. New ones are added (and wait for their source), missing ones are
  // removed as by RemoveModel, others get the new policy, labels and mode. All or nothing. Errors:
  // INVALID_ARGUMENT (empty or repeated name), FAILED_PRECONDITION (stopped).
  Status SetModels(std::vector<ModelConfig> models);
  // Adds one model, or reconfigures it. Errors as for SetModels.
  Status SetModel(ModelConfig model);
  // Unloads its versions and forgets it. NOT_FOUND if there is no such model.
  Status RemoveModel(std::string_view name);

  // From sources; see AspiredTarget.
  void SetAspired(std::string_view model, std::vector<AspiredVersion> versions,
                  uint64_t generation = 0) override;
  void SetSourceStatus(std::string_view model, Status status, uint64_t generation = 0) override;

  // --- Requests. No lock and no write to a shared cache line, unless the version is not ready.

  // The newest ready version, or the one asked for. NOT_FOUND if the model is not configured, its
  // source has no such version, or only other versions are ready, with TensorFlow Serving's texts:
  // "Servable not found for request: Latest(NAME)" / "Specific(NAME, V)", and then the reason.
  // UNAVAILABLE with the reason if no version is ready: it is being loaded, could not be loaded, or
  // the model's mode says so; also if the version has reported itself broken.
  StatusOr<Handle> GetHandle(std::string_view name,
                             std::optional<VersionNumber> version = std::nullopt) const;
  // By label. As UnknownLabel; UNAVAILABLE if the version that the label names is not ready; others
  // as above.
  StatusOr<Handle> GetHandleByLabel(std::string_view name, std::string_view label) const;
  // Has a model loaded that is loaded on demand, unless its source is known not to have the version
  // that is asked for. False, and nothing is done, if the model is not of that kind or nothing is
  // loaded any more.
  bool LoadOnDemand(Demand demand);
  // Waits for the first load of a model that has had no version ready since it was configured, or
  // for one of the versions that are loaded first while another one is ready already.
  // False, and nothing is done, if there is no such load to wait for: what GetHandle says stands.
  bool AwaitFirstLoad(Demand demand);
  // True if the models that the rule of readiness names have a version available, or are loaded on
  // demand.
  bool IsReady() const;
  // True if the model has a version available; none if it is not configured.
  std::optional<bool> IsModelReady(std::string_view name) const;
  // False if the model is not configured, or shall not be loaded, or only by a request.
  bool IsModelExpected(std::string_view name) const;
  // True if the model is loaded on demand.
  bool IsModelOnDemand(std::string_view name) const;
  // True if the model counts for ReadinessRule::Kind::kAllModels: it is expected, and was
  // configured before the manager was ready for the first time, or has had a version available
  // since it was configured.
  bool IsModelEstablished(std::string_view name) const;
  // True if the model is expected, was configured before the manager was ready for the first time,
  // and has had no version available yet.
  bool IsModelStarting(std::string_view name) const;

  // --- What is going on.

  // Every configured model, sorted.
  std::vector<std::string> ModelNames() const;
  // All known versions of a model, newest first, also for a while after it was removed; empty if
  // the model is unknown.
  std::vector<VersionStatus> VersionStatuses(std::string_view name) const;
  // What the model's source last reported; NOT_FOUND if the model is unknown.
  Status SourceStatus(std::string_view name) const;
  std::map<std::string, LabelState> Labels(std::string_view name) const;
  // INVALID_ARGUMENT "Unrecognized servable version label: L", and the labels that the model has.
  Status UnknownLabel(std::string_view name, std::string_view label) const;
  // All that together; none if the model is not configured.
  std::optional<ModelOutlook> Outlook(std::string_view name) const;
  // Sum of what is reserved for all models, and the limit (0: none), in bytes.
  struct Memory {
    uint64_t reserved_bytes = 0;
    uint64_t limit_bytes = 0;
  };
  Memory MemoryUse() const;

  // `listener` hears every event, in order, one at a time, on a thread of the manager or of the
  // caller that caused it; no lock is held, but it should be quick. AVAILABLE is told once requests
  // find the version.
  int AddListener(ManagerListener listener);
  // After the return the listener is not running (unless this is called from it) and will not run.
  void RemoveListener(int id);

  // Returns true as soon as `condition` holds, which is tested now and after every event, without a
  // lock; false if `until` passes first. A condition that takes a handle uses its model, which then
  // is not idle.
  bool WaitFor(const std::function<bool()>& condition, SteadyTime until = kNoDeadline) const;
  // Waits until nothing is being loaded or unloaded and no event is left to tell. A load that waits
  // for its retry does not count.
  bool WaitUntilIdle(SteadyTime until = kNoDeadline) const;

  // --- The end.

  // The loads that have a thread now, those whose time was up included; sorted.
  std::vector<RunningLoad> RunningLoads() const;

  // From now on nothing new is loaded and lists of sources are ignored; what is ready goes on
  // serving. Loads that run are asked to end.
  void StartDrain();
  // Unloads everything and returns when the last version is gone, which is when its last handle is.
  // False if `until` passes first; the destructor then still waits.
  bool Stop(SteadyTime until = kNoDeadline);
  // Returns when nothing is being unloaded any more, whatever is still being loaded.
  void WaitUntilUnloaded() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::core
