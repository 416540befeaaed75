// SPDX-License-Identifier: Apache-2.0
// Tells people and Prometheus what happens to the versions of models.
#pragma once

#include <map>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "core/manager.h"
#include "loading/load_progress.h"

namespace penstock {

// Listens to a manager from construction to destruction. What the constructor gets outlives it;
// `manager` outlives the last call of metrics.Text() too. Thread-safe.
class ModelObserver final {
 public:
  ModelObserver(core::Manager& manager, MetricsRegistry& metrics,
                const Clock& clock = Clock::Real());
  ~ModelObserver();
  ModelObserver(const ModelObserver&) = delete;
  ModelObserver& operator=(const ModelObserver&) = delete;

  // Says no more of how far the initial load has come.
  void EndLoadProgress() { progress_.End(); }

 private:
  // All of these run in the manager's listener, so one at a time.
  void OnEvent(const core::ManagerEvent& event);
  void OnVersion(const core::VersionStatus& version);
  void OnLoading(const core::VersionStatus& version);
  void OnUnloading(const core::VersionStatus& version);
  void OnStart(const core::VersionStatus& version);
  void OnEnd(const core::VersionStatus& version);
  void OnAvailable(const core::VersionStatus& version);
  void OnSourceStatus(const std::string& model);
  // The model was added, changed or removed, or its source has said something.
  void NoteExpected(const std::string& model);
  void CountLoad(const std::string& model, const char* result);

  core::Manager& manager_;
  MetricsRegistry& metrics_;
  const Clock& clock_;
  int listener_ = 0;  // fixed after construction

  LoadProgress progress_;

  // Only in the listener.
  std::map<core::ServableId, SteadyTime> load_starts_;
  std::set<core::ServableId> unloading_;
  std::set<core::ServableId> retried_;  // wait for their next try; the error of the last is logged
  std::map<std::string, std::string> source_errors_;  // the last one logged, by model
};

}  // namespace penstock
