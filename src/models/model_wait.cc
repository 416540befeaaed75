// SPDX-License-Identifier: Apache-2.0
// A change is done when the models that it names have come to rest: each is served or has failed.
// The manager tells the state of each model and version; this file makes one answer of it.
//
// The difficulty is old news. A model may be ready with the versions of the former configuration,
// or have an error of an earlier load. So a model counts as under way until its source has answered
// the configuration in force (`has_report`).
#include "models/model_wait.h"

#include <algorithm>

namespace penstock {

std::optional<Status> ModelWait::Outcome(bool is_late) {
  // Outcome runs after every event of the manager, perhaps for a thousand models. One that is under
  // way is enough for the answer, so start with the one that was under way at the last call.
  const size_t count = awaited_.names.size();
  for (size_t i = 0; i < count && !is_late; ++i) {
    const size_t position = (under_way_ + i) % count;
    if (!IsUnderWay(awaited_.names[position])) continue;
    under_way_ = position;
    return std::nullopt;
  }
  // No model was under way. Check each once more and collect the errors. A model may have changed
  // meanwhile, so the same check must decide both whether it has ended and how.
  std::string missing;
  size_t missing_count = 0;
  Status version_error;
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = awaited_.names[i];
    const State state = StateOf(name);
    if (!is_late && (state.model == Progress::kUnderWay || state.versions == Progress::kUnderWay)) {
      under_way_ = i;
      return std::nullopt;
    }
    if (state.model != Progress::kServed) {
      missing +=
          fmt::format("{}{}: {}", missing_count++ == 0 ? "" : "; ", name,
                      state.model == Progress::kFailed ? MessageOf(state.reason) : "still loading");
    } else if (state.versions != Progress::kServed) {
      version_error = state.reason;
    }
  }
  if (missing_count == 0) return version_error;
  return Error(is_late ? StatusCode::kDeadlineExceeded : StatusCode::kUnknown,
               "{} model(s) did not become available: {{{}}}", missing_count, missing);
}

bool ModelWait::IsUnderWay(const std::string& name) const {
  const State state = StateOf(name);
  return state.model == Progress::kUnderWay || state.versions == Progress::kUnderWay;
}

ModelWait::State ModelWait::StateOf(const std::string& name) const {
  State state;
  const std::optional<core::ModelStatus> model = manager_.StatusOf(name);
  // A model that is not expected to load, such as one on demand, is done at once.
  if (!model || !model->is_expected) return state;
  state.model = OfModel(*model, state.reason);
  if (state.model == Progress::kFailed) return state;
  state.versions = OfLabels(name, *model, state.reason);
  if (state.versions != Progress::kFailed) {
    Status reason;
    const Progress pin = OfPin(name, *model, reason);
    if (pin == Progress::kFailed) state.reason = reason;
    if (pin != Progress::kServed) state.versions = pin;
  }
  if (name == awaited_.settled && state.versions == Progress::kServed)
    state.versions = OfSelected(*model);
  // The ready versions are those of an earlier configuration.
  const bool is_waiting = model->source_status.code() == StatusCode::kFailedPrecondition;
  if (state.versions == Progress::kServed && !is_waiting && !model->has_found &&
      !model->source_status.ok()) {
    state.model = Progress::kFailed;
    state.reason = Error(model->source_status.code(), "{}; the versions that served go on serving",
                         MessageOf(model->source_status));
  }
  if (state.versions == Progress::kUnderWay) {
    state.reason = Error(StatusCode::kDeadlineExceeded,
                         "a version of model {} that shall be available is still loading", name);
  }
  return state;
}

ModelWait::Progress ModelWait::OfModel(const core::ModelStatus& model, Status& reason) {
  // Without an answer of the source, the ready versions may be those of an earlier configuration.
  const bool is_answered = model.has_report || !model.incomplete.empty();
  if (model.is_ready && is_answered) return Progress::kServed;
  if (!model.has_report) return Progress::kUnderWay;
  if (!model.source_status.ok()) {
    reason = model.source_status;
    // FAILED_PRECONDITION: the source waits for a version that is not complete.
    const bool is_waiting = reason.code() == StatusCode::kFailedPrecondition;
    return is_waiting ? Progress::kUnderWay : Progress::kFailed;
  }
  Progress progress = Progress::kUnderWay;
  for (const core::VersionStatus& version : model.versions) {
    // A version on its way out says nothing about the change.
    if (!version.is_aspired) continue;
    // The status of a version that is under way may be an error: why it waits, or why its last load
    // failed.
    if (version.state != core::VersionState::kEnd && !version.HasFailed())
      return Progress::kUnderWay;
    if (version.status.ok() || progress == Progress::kFailed) continue;
    reason = version.status;  // the newest failed version comes first
    progress = Progress::kFailed;
  }
  return progress;
}

ModelWait::Progress ModelWait::OfSelected(const core::ModelStatus& model) {
  if (!model.has_report) return Progress::kUnderWay;
  const bool is_under_way = std::ranges::any_of(model.versions, [](const auto& version) {
    return version.is_aspired && version.state != core::VersionState::kAvailable &&
           !version.HasFailed();
  });
  return is_under_way ? Progress::kUnderWay : Progress::kServed;
}

ModelWait::Progress ModelWait::OfVersion(const core::ModelStatus& model, core::VersionNumber number,
                                         Status& reason) {
  const auto version = std::ranges::find_if(
      model.versions, [&](const auto& status) { return status.id.version == number; });
  const bool is_known = version != model.versions.end();
  if (is_known && version->state == core::VersionState::kAvailable) return Progress::kServed;
  if (!model.has_report) return Progress::kUnderWay;
  if (is_known && version->is_aspired) {
    if (!version->HasFailed()) return Progress::kUnderWay;
    reason = version->status;
    return Progress::kFailed;
  }
  // FAILED_PRECONDITION: a version is not complete. It may be this one.
  if (model.source_status.code() == StatusCode::kFailedPrecondition) return Progress::kUnderWay;
  const auto incomplete = model.incomplete.find(number);
  if (incomplete != model.incomplete.end()) {
    reason = Error(StatusCode::kNotFound, "the version is there, but it is not complete: {}",
                   incomplete->second);
  } else if (model.source_status.ok()) {
    reason = absl::NotFoundError("the model has no such version");
  } else {
    reason = model.source_status;
  }
  return Progress::kFailed;
}

ModelWait::Progress ModelWait::OfLabels(const std::string& name, const core::ModelStatus& model,
                                        Status& reason) const {
  const auto wanted = awaited_.labels.find(name);
  if (wanted == awaited_.labels.end()) return Progress::kServed;
  Progress all = Progress::kServed;
  for (const auto& [label, number] : wanted->second) {
    const auto state = model.labels.find(label);
    // The label is not what this change made it, so its effect can never be seen.
    if (state == model.labels.end() || state->second.wanted != number) {
      reason = Error(StatusCode::kAborted, "another change has moved or removed label \"{}\" of {}",
                     label, name);
      return Progress::kFailed;
    }
    const Progress progress = OfVersion(model, number, reason);
    if (progress == Progress::kUnderWay) all = progress;
    if (progress != Progress::kFailed) continue;
    reason = Error(StatusCode::kFailedPrecondition,
                   "Request to assign label to version {} of model {}, which is not currently "
                   "available for inference: label \"{}\": {}",
                   number.value, name, label, MessageOf(reason));
    return progress;
  }
  return all;
}

ModelWait::Progress ModelWait::OfPin(const std::string& name, const core::ModelStatus& model,
                                     Status& reason) const {
  const auto pinned = awaited_.pinned.find(name);
  if (pinned == awaited_.pinned.end()) return Progress::kServed;
  const Progress progress = OfVersion(model, pinned->second, reason);
  if (progress == Progress::kFailed) {
    reason = Error(StatusCode::kFailedPrecondition,
                   "model {} is pinned to version {}, which could not be loaded: {}", name,
                   pinned->second.value, MessageOf(reason));
  }
  return progress;
}

}  // namespace penstock
