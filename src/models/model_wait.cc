// SPDX-License-Identifier: Apache-2.0
#include "models/model_wait.h"

#include <algorithm>

namespace penstock {
namespace {

constexpr std::chrono::milliseconds kFailureLasts{300};

}  // namespace

bool ModelWait::IsSettled() {
  // Of a thousand models one that was still under way answers for all, most of the time.
  const size_t count = awaited_.names.size();
  for (size_t i = 0; i < count; ++i) {
    const size_t position = (under_way_ + i) % count;
    if (!IsUnderWay(awaited_.names[position])) continue;
    under_way_ = position;
    return false;
  }
  return true;
}

bool ModelWait::IsUnderWay(const std::string& name) const {
  Status reason;
  return OfModel(name, reason) == Progress::kUnderWay ||
         OfLabels(name, reason) == Progress::kUnderWay ||
         OfPin(name, reason) == Progress::kUnderWay;
}

ModelWait::Progress ModelWait::OfModel(const std::string& name, Status& reason) const {
  if (manager_.IsModelReady(name).value_or(false) || !manager_.IsModelExpected(name))
    return Progress::kServed;
  if (reason = manager_.SourceStatus(name); !reason.ok()) {
    // The source itself waits, for a version that is not complete.
    const bool is_waiting = reason.code() == StatusCode::kFailedPrecondition;
    return is_waiting ? Progress::kUnderWay : Progress::kFailed;
  }
  const bool has_moved = awaited_.moved.contains(name);
  const auto now = std::chrono::system_clock::now();
  for (const core::VersionStatus& version : manager_.VersionStatuses(name)) {
    // A load of the old list may still fail before the source has told of the new one.
    const bool may_be_old = version.since < awaited_.since || now - version.since < kFailureLasts;
    if (has_moved && may_be_old) continue;
    // What loads may say why it waits.
    if (version.state == core::VersionState::kLoading) continue;
    if (reason = version.status; !reason.ok()) return Progress::kFailed;
  }
  return Progress::kUnderWay;
}

ModelWait::Progress ModelWait::OfVersion(const std::string& name, core::VersionNumber number,
                                         bool is_coming, Status& reason) const {
  const std::vector<core::VersionStatus> versions = manager_.VersionStatuses(name);
  const auto version = std::ranges::find_if(
      versions, [&](const auto& status) { return status.id.version == number; });
  const bool is_settled = std::chrono::system_clock::now() - awaited_.since >= kFailureLasts;
  if (version != versions.end()) {
    if (version->state == core::VersionState::kAvailable) return Progress::kServed;
    reason = version->status;
    // How an earlier load ended says nothing while the source may not have told of the version yet.
    const bool is_of_now = is_settled || version->since >= awaited_.since;
    if (version->state == core::VersionState::kEnd && !reason.ok() && is_of_now)
      return Progress::kFailed;
  }
  if (is_coming || !is_settled) return Progress::kUnderWay;
  reason = absl::NotFoundError("the model has no such version");
  return Progress::kFailed;
}

ModelWait::Progress ModelWait::OfLabels(const std::string& name, Status& reason) const {
  const auto wanted = awaited_.labels.find(name);
  if (wanted == awaited_.labels.end() || !manager_.IsModelExpected(name)) return Progress::kServed;
  const auto states = manager_.Labels(name);
  Progress all = Progress::kServed;
  for (const auto& [label, number] : wanted->second) {
    const auto state = states.find(label);
    if (state == states.end() || state->second.wanted != number) {
      reason = Error(StatusCode::kAborted, "another change has moved or removed label \"{}\" of {}",
                     label, name);
      return Progress::kFailed;
    }
    const Progress progress = OfVersion(name, number, state->second.is_coming, reason);
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

ModelWait::Progress ModelWait::OfPin(const std::string& name, Status& reason) const {
  const auto pinned = awaited_.pinned.find(name);
  if (pinned == awaited_.pinned.end() || !manager_.IsModelExpected(name)) return Progress::kServed;
  const Progress progress = OfVersion(name, pinned->second, /*is_coming=*/true, reason);
  if (progress == Progress::kFailed) {
    reason = Error(StatusCode::kFailedPrecondition,
                   "model {} is pinned to version {}, which could not be loaded: {}", name,
                   pinned->second.value, MessageOf(reason));
  }
  return progress;
}

Status ModelWait::WhatIsMissing(bool is_late) const {
  std::string missing;
  size_t count = 0;
  Status version_error;
  for (const std::string& name : awaited_.names) {
    Status reason;
    const Progress progress = OfModel(name, reason);
    if (progress != Progress::kServed) {
      missing += fmt::format("{}{}: {}", count++ == 0 ? "" : "; ", name,
                             progress == Progress::kFailed ? MessageOf(reason) : "still loading");
      continue;
    }
    for (const Progress of : {OfLabels(name, reason), OfPin(name, reason)}) {
      if (of == Progress::kFailed) version_error = reason;
      if (of != Progress::kUnderWay) continue;
      version_error =
          Error(StatusCode::kDeadlineExceeded,
                "a version of model {} that a label or pin names is still loading", name);
    }
  }
  if (count == 0) return version_error;
  return Error(is_late ? StatusCode::kDeadlineExceeded : StatusCode::kUnknown,
               "{} model(s) did not become available: {{{}}}", count, missing);
}

}  // namespace penstock
