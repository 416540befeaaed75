// SPDX-License-Identifier: Apache-2.0
// The manager keeps the versions of all models. It loads the versions that a source aspires to,
// unloads the others, and gives requests handles to the versions that are ready. It decides for
// each model separately, on events. So one slow load, one broken model or one slow request does not
// hold up the others.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "core/background.h"
#include "core/demand.h"
#include "core/handle.h"
#include "core/manager_options.h"
#include "core/model_config.h"
#include "core/model_status.h"
#include "core/source.h"

namespace penstock::core {

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
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// For messages: lists the versions of a model, ascending, the newest ten.
std::string SayVersions(std::vector<VersionNumber> versions);

}  // namespace penstock::core
