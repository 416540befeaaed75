// SPDX-License-Identifier: Apache-2.0
// The manager reports each change of a version's state. Changes that look alike may have different
// causes: END comes after an unload, after a load that failed, and after one that was given up. So
// the observer remembers a little about each version: when its load began, whether it is being
// unloaded, and whether it waits for its next try.
#include "loading/model_observer.h"

#include <algorithm>
#include <array>

#include "base/log.h"

namespace penstock {
namespace {

constexpr std::array<double, 10> kLoadSecondsBounds = {0.01, 0.03, 0.1, 0.3, 1,
                                                       3,    10,   30,  100, 300};

// The log line of a load has the time that it waited for a thread or for memory, if that is at
// least this many milliseconds.
constexpr int64_t kWaitToldMin = 10;

// Counts the versions of each model in each state.
std::vector<MetricSample> VersionSamples(const core::Manager& manager) {
  std::vector<MetricSample> samples;
  for (const std::string& model : manager.ModelNames()) {
    // AVAILABLE is always there, so that an alert on 0 has a series to watch.
    std::map<core::VersionState, int> counts = {{core::VersionState::kAvailable, 0}};
    for (const core::VersionStatus& version : manager.VersionStatuses(model))
      ++counts[version.state];
    for (const auto& [state, count] : counts) {
      samples.push_back(
          {{{"model_name", model}, {"state", std::string(core::VersionStateName(state))}},
           static_cast<double>(count)});
    }
  }
  return samples;
}

}  // namespace

ModelObserver::ModelObserver(core::Manager& manager, MetricsRegistry& metrics, const Clock& clock)
    : manager_(manager), metrics_(metrics), clock_(clock), progress_(clock) {
  metrics_.AddCollector("penstock_model_versions", "Versions of each model by state.",
                        MetricKind::kGauge, [&manager] { return VersionSamples(manager); });
  listener_ = manager_.AddListener([this](const core::ManagerEvent& event) { OnEvent(event); });
}

ModelObserver::~ModelObserver() { manager_.RemoveListener(listener_); }

void ModelObserver::OnEvent(const core::ManagerEvent& event) {
  if (event.version) {
    OnVersion(*event.version);
  } else {
    OnSourceStatus(event.model);
    NoteExpected(event.model);
  }
}

void ModelObserver::OnVersion(const core::VersionStatus& version) {
  switch (version.state) {
    case core::VersionState::kStart:
      OnStart(version);
      break;
    case core::VersionState::kLoading:
      OnLoading(version);
      break;
    case core::VersionState::kAvailable:
      OnAvailable(version);
      break;
    case core::VersionState::kUnloading:
      OnUnloading(version);
      break;
    case core::VersionState::kEnd:
      OnEnd(version);
      break;
  }
}

void ModelObserver::OnLoading(const core::VersionStatus& version) {
  retried_.erase(version.id);
  // The state is reported again when the load waits for memory. That is no second start.
  const bool is_new = load_starts_.try_emplace(version.id, clock_.Now()).second;
  if (is_new) {
    PENSTOCK_LOG(kInfo, "loading model {}", version.id.ToString());
    progress_.Note(version.id.name, LoadProgress::State::kLoading);
  } else if (version.status.code() == StatusCode::kResourceExhausted) {
    PENSTOCK_LOG(kWarning, "model {} waits for memory: {}", version.id.ToString(),
                 MessageOf(version.status));
  }
}

void ModelObserver::OnUnloading(const core::VersionStatus& version) {
  const bool was_loading = load_starts_.erase(version.id) > 0;  // unloaded because no longer wanted
  unloading_.insert(version.id);
  if (version.status.ok() || was_loading) {
    PENSTOCK_LOG(kInfo, "unloading model {}", version.id.ToString());
    return;
  }
  metrics_
      .AddCounter("penstock_model_broken_total",
                  "Versions taken from service because they reported themselves broken.",
                  {{"model_name", version.id.name}})
      .Add();
  PENSTOCK_LOG(kError, "model {} is broken and taken from service: {}", version.id.ToString(),
               version.status.ToString());
}

// kStart with an error is the end of a failed load that will be tried again.
void ModelObserver::OnStart(const core::VersionStatus& version) {
  if (version.status.ok()) {
    load_starts_.erase(version.id);
    retried_.erase(version.id);
    return;
  }
  OnEnd(version);
  retried_.insert(version.id);
}

void ModelObserver::OnEnd(const core::VersionStatus& version) {
  load_starts_.erase(version.id);
  // A failed load that is tried again ends with START and an error. If it is then given up, END
  // comes with the same error, which must not be logged or counted twice.
  const bool is_told = retried_.erase(version.id) > 0;  // the error was logged after the last try
  if (unloading_.erase(version.id) > 0) {
    PENSTOCK_LOG(kInfo, "model {} is unloaded", version.id.ToString());
  } else if (is_told) {
    PENSTOCK_LOG(kInfo, "model {} is not tried again", version.id.ToString());
  } else if (!version.status.ok() && version.status.code() != StatusCode::kCancelled) {
    CountLoad(version.id.name, "failed");
    PENSTOCK_LOG(kError, "model {} could not be loaded: {}", version.id.ToString(),
                 version.status.ToString());
    progress_.Note(version.id.name, LoadProgress::State::kFailed);
  }
}

void ModelObserver::OnAvailable(const core::VersionStatus& version) {
  const core::ServableId& id = version.id;
  const Duration took = version.load_time;
  const auto start = load_starts_.find(id);
  // `took` is the load itself. The rest of the time since LOADING was a wait for a thread or for
  // memory.
  const Duration all = start == load_starts_.end() ? took : clock_.Now() - start->second;
  if (start != load_starts_.end()) load_starts_.erase(start);
  CountLoad(id.name, "ok");
  metrics_
      .AddHistogram("penstock_model_load_seconds",
                    "Time that successful loads took, without waiting for their turn.",
                    kLoadSecondsBounds, {{"model_name", id.name}})
      .Record(std::chrono::duration<double>(took).count());
  const auto milliseconds = [](Duration time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
  };
  const int64_t waited = milliseconds(std::max(all - took, Duration::zero()));
  PENSTOCK_LOG(kInfo, "model {} is available, in {} ms{}", id.ToString(), milliseconds(took),
               waited < kWaitToldMin
                   ? ""
                   : fmt::format(", after {} ms of waiting for a thread or for memory", waited));
  progress_.Note(id.name, LoadProgress::State::kReady);
}

void ModelObserver::OnSourceStatus(const std::string& model) {
  if (!manager_.IsModelReady(model)) {  // nullopt: the model was removed
    source_errors_.erase(model);
    return;
  }
  // Nobody misses the versions of a model that is not to be loaded.
  if (!manager_.IsModelExpected(model) && !manager_.IsModelOnDemand(model)) {
    source_errors_.erase(model);
    return;
  }
  const Status status = manager_.SourceStatus(model);
  const std::string error = status.ok() ? "" : status.ToString();
  std::string& last = source_errors_[model];
  // A source reports with every poll. Only a change is worth a line.
  if (error == last) return;
  if (error.empty()) {  // a new configuration clears the error before its source has reported
    const auto current = manager_.StatusOf(model);
    if (!current || !current->has_report) return;
  }
  // FAILED_PRECONDITION: a version is not complete yet. That is usual while files are copied, so it
  // is no warning.
  const bool was_waiting = last.starts_with(StatusCodeName(StatusCode::kFailedPrecondition));
  if (status.code() == StatusCode::kFailedPrecondition) {
    PENSTOCK_LOG(kInfo, "model {}: {}", model, MessageOf(status));
  } else if (error.empty() && was_waiting) {
    PENSTOCK_LOG(kInfo, "model {}: what it waited for is there", model);
  } else if (error.empty()) {
    PENSTOCK_LOG(kInfo, "the versions of model {} can be read again", model);
  } else {
    PENSTOCK_LOG(kWarning, "the versions of model {} cannot be read: {}", model, error);
  }
  last = error;
}

void ModelObserver::NoteExpected(const std::string& model) {
  if (!manager_.IsModelExpected(model)) return progress_.Forget(model);
  progress_.Note(model, LoadProgress::State::kExpected);
  const Status source = manager_.SourceStatus(model);
  // FAILED_PRECONDITION: there is a version, but it is not complete.
  if (!source.ok() && source.code() != StatusCode::kFailedPrecondition)
    progress_.Note(model, LoadProgress::State::kFailed);
}

void ModelObserver::CountLoad(const std::string& model, const char* result) {
  metrics_
      .AddCounter("penstock_model_loads_total", "Loads of versions that ended, by result.",
                  {{"model_name", model}, {"result", result}})
      .Add();
}

}  // namespace penstock
