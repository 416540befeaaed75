// SPDX-License-Identifier: Apache-2.0
// All that the manager knows of one model.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "core/lookup.h"
#include "core/model_config.h"
#include "core/model_status.h"
#include "core/model_use.h"
#include "core/model_versions.h"
#include "core/source.h"

namespace penstock::core {

// Exists from SetModels until the model is removed and its last version is gone. The functions
// answer questions about the model, and change nothing but its labels. One thread at a time (the
// manager's mutex).
struct ModelRecord {
  // As for ModelVersions.
  ModelRecord(const std::string& name, std::vector<ManagerEvent>& events, int retries_max)
      : versions(name, events, retries_max) {}

  // True if a report of `generation` is the answer of the source to the configuration in force.
  bool IsAnswer(uint64_t generation) const {
    return generation == 0 || generation >= config.generation;
  }
  // True if the report applies to the model. False if it is for an earlier configuration that asked
  // for other versions.
  bool Accepts(uint64_t generation) const {
    return IsAnswer(generation) || (config.same_since != 0 && generation >= config.same_since);
  }
  // True if the source waits for a version that is not complete yet.
  bool IsSourceWaiting() const { return source_status.code() == StatusCode::kFailedPrecondition; }
  // True if none of the versions that the configuration asks for was there yet.
  bool HasFoundNone() const { return !has_found && has_report && !source_status.ok(); }
  // The last status of the source; or the reason why it leaves `version` out, if there is one.
  Status SourceStatusFor(std::optional<VersionNumber> version) const;
  // True if the load mode, and the requests so far, want its versions loaded.
  bool ShallBeLoaded() const {
    return config.load_mode == LoadMode::kAlways ||
           (config.load_mode == LoadMode::kOnDemand && is_demanded);
  }
  // True if the model may be unloaded because others need its memory.
  bool IsEvictable() const {
    return config.load_mode == LoadMode::kOnDemand && !config.keep_loaded && is_configured;
  }
  // The error if the load mode is why the model has no version ready; OK for kAlways.
  Status AbsentByMode() const;
  // True if a request for `version` (nullopt: for any) may wait because the first load of the model
  // is not over.
  bool IsInFirstLoad(std::optional<VersionNumber> version) const;
  // The version of a request that names `label`, or else `version` (nullopt: any).
  std::optional<VersionNumber> VersionFor(std::string_view label,
                                          std::optional<VersionNumber> version) const;

  // True if the source has the version: it wants it loaded, or waits until it is complete.
  bool MayBecomeReady(VersionNumber version) const;
  // The versions that stay loaded if they are ready, although the source does not want them:
  // - the version of a label, while the version that the label is to move to is coming, and until
  //   the source has answered the configuration in force;
  // - the versions for requests that name none, while no selected version is complete, or there was
  //   none since the configuration asked for other versions;
  // - the versions of `holds`, while the source wants another one for all requests.
  std::set<VersionNumber> Held() const;
  // Moves each label to the version that it wants, if that is possible now.
  void MoveLabels();
  std::map<std::string, LabelState> LabelStates() const;
  // Returns what requests find for the model.
  std::shared_ptr<const Snapshot::Model> MakeView() const;

  ModelConfig config;
  bool is_configured = true;  // false: removed, and erased once its versions are gone
  bool has_report = false;    // as ModelStatus::has_report
  bool has_found = false;     // as ModelStatus::has_found
  bool is_of_start = false;   // configured before the manager was ready for the first time
  bool has_served = false;    // has had a version ready since it was added
  // True once it has served and no version was still to come.
  bool is_first_load_over = false;
  Status source_status;
  IncompleteVersions incomplete;  // as of the last SetIncomplete
  ModelVersions versions;
  std::map<std::string, VersionNumber> labels;  // as requests find them
  std::map<uint64_t, VersionNumber> holds;      // by their numbers; see Manager::Hold
  // The holds that have an end; see Manager::Lease.
  struct Lease {
    uint64_t hold = 0;
    SteadyTime end;
  };
  std::map<VersionNumber, Lease> leases;
  // For a model on demand:
  bool is_demanded = false;
  ModelUse use;
  SteadyTime retried_since;  // when a request last caused retries of failed loads
};

}  // namespace penstock::core
