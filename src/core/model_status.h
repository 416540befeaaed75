// SPDX-License-Identifier: Apache-2.0
// What the manager reports about models, versions and loads.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "core/servable.h"

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
struct ModelStatus {
  bool is_ready = false;     // as IsModelReady
  bool is_expected = false;  // as IsModelExpected
  // The source has reported versions, or an error, since the model was configured. A report that a
  // version is not complete does not count.
  bool has_report = false;
  // The source has found a version that the configuration asks for. False: the ready versions are
  // those of an earlier configuration.
  bool has_found = false;
  Status source_status;
  // Versions that are not complete, and what each lacks.
  std::map<VersionNumber, std::string> incomplete;
  std::vector<VersionStatus> versions;  // newest first
  std::map<std::string, LabelState> labels;
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

}  // namespace penstock::core
