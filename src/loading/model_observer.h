// SPDX-License-Identifier: Apache-2.0
// Reports events of model versions in the log and in metrics.
#pragma once

#include <map>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "core/manager.h"
#include "loading/load_progress.h"

namespace penstock {

// Listens to a manager from construction to destruction. The arguments of the constructor must
// outlive it; `manager` must also outlive the last call of metrics.Text(). Thread-safe.
class ModelObserver final {
 public:
  ModelObserver(core::Manager& manager, MetricsRegistry& metrics,
                const Clock& clock = Clock::Real());
  ~ModelObserver();
  ModelObserver(const ModelObserver&) = delete;
  ModelObserver& operator=(const ModelObserver&) = delete;

  // Stops showing the progress of the initial load.
  void EndLoadProgress() { progress_.End(); }

 private:
  // All of these run in the manager's listener, so only one of them runs at a time. They log and
  // count, and change nothing.
  void OnEvent(const core::ManagerEvent& event);
  void OnVersion(const core::VersionStatus& version);
  void OnLoading(const core::VersionStatus& version);
  void OnUnloading(const core::VersionStatus& version);
  void OnStart(const core::VersionStatus& version);
  void OnEnd(const core::VersionStatus& version);
  void OnAvailable(const core::VersionStatus& version);
  void OnSourceStatus(const std::string& model);
  // Called after a model was added, changed or removed, and after a report of its source.
  void NoteExpected(const std::string& model);
  void CountLoad(const std::string& model, const char* result);

  core::Manager& manager_;
  MetricsRegistry& metrics_;
  const Clock& clock_;
  int listener_ = 0;  // fixed after construction

  LoadProgress progress_;

  // Used only in the listener.
  std::map<core::ServableId, SteadyTime> load_starts_;
  std::set<core::ServableId> unloading_;
  std::set<core::ServableId> retried_;  // wait for their next try; their last error is logged
  std::map<std::string, std::string> source_errors_;  // the last one logged, by model
};

}  // namespace penstock
