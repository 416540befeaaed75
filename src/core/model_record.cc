// SPDX-License-Identifier: Apache-2.0
// The rules for labels are the subtle part. A label never leads to nothing if it led to a version
// before: it moves when the new version is ready, and until then it keeps the old one loaded
// (Held). The source works on its own time, so for a while it answers an older configuration. Until
// it has answered the one in force, its silence about a version does not mean that the version may
// go.
#include "core/model_record.h"

#include <utility>

namespace penstock::core {

Status ModelRecord::AbsentByMode() const {
  switch (config.load_mode) {
    case LoadMode::kAlways:
      break;
    case LoadMode::kOnDemand:
      return Error(StatusCode::kUnavailable,
                   "model {} is loaded on demand and is not loaded yet: try again later",
                   config.name);
    case LoadMode::kNever:
      return Error(StatusCode::kUnavailable,
                   "model {} has been unloaded by an operator, or its configuration names no "
                   "version: it is not served until that changes",
                   config.name);
  }
  return OkStatus();
}

Status ModelRecord::SourceStatusFor(std::optional<VersionNumber> version) const {
  const auto found = version ? incomplete.find(*version) : incomplete.end();
  if (found == incomplete.end()) return source_status;
  return Error(StatusCode::kFailedPrecondition, "version {} is there, but it is not complete: {}",
               version->value, found->second);
}

bool ModelRecord::MayBecomeReady(VersionNumber version) const {
  return versions.IsAspired(version) || incomplete.contains(version);
}

bool ModelRecord::IsInFirstLoad(std::optional<VersionNumber> version) const {
  if (!has_served) return true;
  // Some version serves already, but the versions that are loaded first belong together: a request
  // for one of them still waits.
  return version && !is_first_load_over && versions.IsComing(*version);
}

std::optional<VersionNumber> ModelRecord::VersionFor(std::string_view label,
                                                     std::optional<VersionNumber> version) const {
  const auto found = labels.find(std::string(label));
  return found == labels.end() ? version : found->second;
}

std::set<VersionNumber> ModelRecord::Held() const {
  std::set<VersionNumber> held;
  // This policy promises that there is only one version in memory, so nothing may keep a second.
  if (config.policy == &ResourcePreservingPolicy()) return held;
  // A change of a label changes what the source wants. If the change is taken back, the source has
  // not yet said that it wants the former version again.
  const bool is_answered = has_report && source_status.ok();
  for (const auto& [label, wanted] : config.labels) {
    const auto in_force = labels.find(label);
    if (in_force == labels.end()) continue;
    if (!is_answered || (in_force->second != wanted && MayBecomeReady(wanted)))
      held.insert(in_force->second);
  }
  // Without this, requests that name no version would get one that is loaded only for a label.
  // Nor may a mistake in a new configuration, such as a version that does not exist, end the
  // service of the model.
  if (!versions.HasAspiredMain() && (!has_report || !incomplete.empty() || HasFoundNone()))
    held.merge(versions.ReadyMain());
  // Who holds a version cannot keep it if the source wants none any more.
  if (!holds.empty() && versions.HasAspiredMain()) {
    for (const auto& [number, version] : holds) held.insert(version);
  }
  return held;
}

void ModelRecord::MoveLabels() {
  std::erase_if(labels, [&](const auto& item) { return !config.labels.contains(item.first); });
  for (const auto& [label, wanted] : config.labels) {
    // A new label points to its version at once, even if that is not ready: there is no former
    // version to stay at.
    VersionNumber& in_force = labels.try_emplace(label, wanted).first->second;
    if (config.holds_labels && versions.IsReady(in_force)) continue;
    // A label stays where it is only while that version is ready and the wanted one is not.
    if (versions.IsReady(wanted) || !versions.IsReady(in_force)) in_force = wanted;
  }
}

std::map<std::string, LabelState> ModelRecord::LabelStates() const {
  std::map<std::string, LabelState> states;
  for (const auto& [label, version] : labels) {
    const VersionNumber wanted = config.labels.at(label);
    const bool is_coming =
        !has_report || IsSourceWaiting() || versions.IsReady(wanted) || MayBecomeReady(wanted);
    states.emplace(label, LabelState{wanted, version, is_coming, versions.IsReady(version)});
  }
  return states;
}

std::shared_ptr<const Snapshot::Model> ModelRecord::MakeView() const {
  auto view = std::make_shared<Snapshot::Model>();
  view->ready = versions.Ready();
  view->broken = versions.Broken();
  for (const auto& [label, version] : labels) view->labels.emplace(label, version);
  view->absent = AbsentByMode();
  view->on_demand = config.load_mode == LoadMode::kOnDemand;
  view->counts_as_ready = !view->ready.empty() || view->on_demand;
  view->has_answers = versions.HasAnswers();
  view->is_expected = config.load_mode != LoadMode::kNever;
  view->is_of_start = is_of_start;
  view->has_served = has_served;
  return view;
}

}  // namespace penstock::core
