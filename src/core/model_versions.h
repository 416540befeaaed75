// SPDX-License-Identifier: Apache-2.0
// The versions of one model and the transitions between their states. What shall happen is decided
// by a VersionPolicy and carried out by the Manager; this keeps the books.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "core/lookup.h"
#include "core/manager.h"
#include "core/source.h"
#include "core/version_policy.h"

namespace penstock::core {

// Every change of a published state is appended to `events`. One thread at a time (the manager's
// mutex).
class ModelVersions final {
 public:
  ModelVersions(std::string name, std::vector<ManagerEvent>& events)
      : name_(std::move(name)), events_(events) {}

  // The complete list of wanted versions.
  void SetAspired(std::vector<AspiredVersion> versions);

  // What the policy wants done next; none also if the policy asks for what is impossible.
  std::optional<VersionAction> NextAction(const VersionPolicy& policy) const;
  // The lowest ready version, whether it is aspired or not.
  std::optional<VersionNumber> LowestReady() const;

  // kNew -> kLoading. The loader is the caller's until the load is finished.
  std::unique_ptr<Loader> StartLoad(VersionNumber number);
  // False once the version that is being loaded is not aspired any more.
  bool IsLoadWanted(VersionNumber number) const;
  // kLoading -> kReady. `loader` is kept in case that the version breaks. Returns the number of
  // this load, by which StartRetire tells it from others of the same version.
  uint64_t FinishLoad(VersionNumber number, std::unique_ptr<VersionEntry> entry,
                      std::unique_ptr<Loader> loader, SteadyTime now);
  // kLoading -> kError, or kDisabled if it is not aspired any more. `loader` is kept for a retry.
  // -> kNew if what it loads has changed meanwhile. Returns how often in a row it failed, 0 if no
  // retry shall be timed.
  int FailLoad(VersionNumber number, const Status& error, std::unique_ptr<Loader> loader);
  // kLoading -> kUnloading: loaded, but not aspired any more. It was never ready.
  void CancelLoad(VersionNumber number);
  // kError -> kNew, if it still is in error after `failures` failures, and aspired.
  void Retry(VersionNumber number, int failures);

  // kReady -> kUnloading. Requests must not find it any more.
  std::unique_ptr<VersionEntry> StartUnload(VersionNumber number);
  // kReady -> kUnloading, because what load number `load` gave is broken. Null, and nothing is
  // changed, if that does not serve any more. If it had served for `stable_time`, this does not
  // count as a failure, and those before are forgotten.
  std::unique_ptr<VersionEntry> StartRetire(VersionNumber number, uint64_t load,
                                            const Status& reason, SteadyTime now,
                                            Duration stable_time);
  // kUnloading -> kDisabled; kNew if it is aspired again, or was retired after a stable time;
  // kError if it was retired earlier. Returns how often in a row it failed, 0 if no retry shall be
  // timed.
  int FinishUnload(VersionNumber number);

  // Forgets the versions that ended first, but for the last `ended_max`.
  void ForgetEnded(size_t ended_max);

  // Newest first.
  std::vector<VersionEntry*> Ready() const;
  std::vector<std::pair<VersionNumber, Status>> Broken() const;
  std::vector<VersionStatus> Statuses() const;
  bool IsReady(VersionNumber number) const;
  // True while a version is being loaded or unloaded.
  bool IsBusy() const;

 private:
  struct Version {
    VersionPhase phase = VersionPhase::kNew;
    bool is_aspired = true;
    // Null while it loads, unless the source came with a newer one.
    StatusOr<std::unique_ptr<Loader>> loader = std::unique_ptr<Loader>();
    uint64_t revision = 0;                // of the newest loader
    uint64_t loaded_revision = 0;         // of the one that was loaded last, or tried
    std::unique_ptr<VersionEntry> entry;  // while kReady
    Status end_status;                    // while kUnloading: what it will end with
    int failures = 0;                     // in a row: loads, and loaded ones that broke soon
    uint64_t load = 0;                    // number of the load that gave `entry`
    SteadyTime ready_since;               // of `entry`
    Status broken;                        // why it was retired, until it is ready again
    VersionStatus published;
    uint64_t ended_order = 0;  // among the versions that ended
  };

  void Aspire(AspiredVersion wanted);
  void Unaspire(VersionNumber number, Version& version);
  // From a state without anything loaded, to kNew, or to kError if there is no loader.
  void Begin(VersionNumber number, Version& version);
  void Publish(VersionNumber number, Version& version, VersionState state, Status status);

  const std::string name_;
  std::vector<ManagerEvent>& events_;
  std::map<VersionNumber, Version> versions_;
  uint64_t ended_count_ = 0;
  uint64_t load_count_ = 0;
};

}  // namespace penstock::core
