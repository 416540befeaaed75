// SPDX-License-Identifier: Apache-2.0
// A report causes events, and events cause reports. So the thread that finds something to do
// reports, without the lock, and an event that comes meanwhile, on this thread or on another one,
// only notes which models have changed.
#include "sources/ensemble/ensemble_source.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "core/reserves.h"
#include "core/version_messages.h"

namespace penstock {

void EnsembleSource::Start(core::AspiredTarget& target) {
  PENSTOCK_CHECK(manager_ != nullptr, "an ensemble source without a manager");
  reporter_.emplace(target, /*keeps_last_versions=*/false);
  const int listener = manager_->AddListener([this](const core::ManagerEvent& event) {
    {
      MutexLock lock(mutex_);
      const auto users = users_.find(event.model);
      if (users == users_.end()) return;
      changed_.insert(users->second.begin(), users->second.end());
    }
    Refresh();
  });
  {
    MutexLock lock(mutex_);
    listener_ = listener;
    is_started_ = true;
  }
  Refresh();
}

void EnsembleSource::Stop() {
  int listener = 0;
  {
    MutexLock lock(mutex_);
    is_stopped_ = true;
    listener = std::exchange(listener_, 0);
  }
  if (listener != 0) manager_->RemoveListener(listener);
  MutexLock lock(mutex_);
  while (is_reporting_ && reporting_thread_ != std::this_thread::get_id()) idle_.Wait(mutex_);
}

Status EnsembleSource::Check(const std::vector<core::SourceModel>& models) {
  return core::CheckSourceModels(models);
}

Status EnsembleSource::SetModels(std::vector<core::SourceModel> models) {
  TRY(Check(models));
  {
    MutexLock lock(mutex_);
    is_new_list_ = true;
    users_.clear();
    changed_.clear();
    for (size_t i = 0; i < models.size(); ++i) {
      changed_.insert(i);
      for (const auto& [number, version] : models[i].composed) {
        for (const auto& part : version.parts) users_[part.model].insert(i);
      }
    }
    models_ = std::make_shared<const List>(std::move(models));
  }
  Refresh();
  return OkStatus();
}

std::optional<bool> EnsembleSource::HasVersion(const std::string& model, const std::string&,
                                               core::VersionNumber version) const {
  MutexLock lock(mutex_);
  for (const core::SourceModel& each : *models_) {
    if (each.name == model) return each.composed.contains(version);
  }
  return std::nullopt;  // its list is not in force yet
}

StatusOr<std::map<core::VersionNumber, std::string>> EnsembleSource::ListVersions(
    const std::string&) const {
  return absl::UnimplementedError(
      "the versions of an ensemble are in the configuration: give --model_config_file=FILE and the "
      "name of the model");
}

void EnsembleSource::Refresh() {
  {
    MutexLock lock(mutex_);
    if (!is_started_ || is_stopped_ || is_reporting_) return;
    is_reporting_ = true;
    reporting_thread_ = std::this_thread::get_id();
  }
  for (;;) {
    std::shared_ptr<const List> models;
    std::set<size_t> changed;
    bool is_new_list = false;
    {
      MutexLock lock(mutex_);
      models = models_;
      changed.swap(changed_);
      is_new_list = std::exchange(is_new_list_, false);
      if (is_stopped_ || (changed.empty() && !is_new_list)) {
        is_reporting_ = false;
        idle_.NotifyAll();
        return;
      }
    }
    if (is_new_list) TakeList(*models);
    for (const size_t position : changed) Report((*models)[position]);
  }
}

void EnsembleSource::TakeList(const List& models) {
  reporter_->SetModels(models);
  std::map<std::string_view, const core::SourceModel*> by_name;
  for (const core::SourceModel& model : models) by_name.emplace(model.name, &model);
  std::erase_if(complete_, [&](const Complete& each) {
    const auto& [name, number, revision] = each;
    const auto model = by_name.find(name);
    if (model == by_name.end()) return true;
    const auto version = model->second->composed.find(number);
    return version == model->second->composed.end() || version->second.revision != revision;
  });
}

void EnsembleSource::Report(const core::SourceModel& model) {
  const core::VersionReporter::Ticket ticket = reporter_->BeginScan(model.name);
  reporter_->Report(model.name, ticket, Scan(model),
                    [&](core::VersionNumber version, const core::FoundVersion& found) {
                      return make_loader_({model.name, version}, found.path);
                    });
}

core::ScanResult EnsembleSource::Scan(const core::SourceModel& model) {
  std::set<core::VersionNumber> there, complete;
  std::map<core::VersionNumber, Readiness> states;
  for (const auto& [number, version] : model.composed) {
    there.insert(number);
    Readiness& state = states[number] = ReadinessOf(version);
    const Complete key{model.name, number, version.revision};
    if (state.missing.empty()) complete_.insert(key);
    // A loaded version stays loaded if a model goes away: it may come back.
    if (complete_.contains(key)) complete.insert(number);
  }
  core::ScanResult result;
  const auto want = [&](core::VersionNumber number, core::VersionRole role) {
    result.wanted.try_emplace(
        number, core::FoundVersion{model.base_path, states.at(number).revision, role});
  };
  const std::set<core::VersionNumber> main = core::SelectVersions(model.selection, complete);
  for (const core::VersionNumber number : main) want(number, core::VersionRole::kMain);
  for (const core::VersionNumber number : model.labelled) {
    if (complete.contains(number)) want(number, core::VersionRole::kLabel);
  }
  for (const core::VersionNumber number : core::ReservesOf(model.selection, main, complete))
    want(number, core::VersionRole::kReserve);
  std::set<core::VersionNumber> selected = core::SelectVersions(model.selection, there);
  const bool selects_none = selected.empty();
  for (const core::VersionNumber number : model.labelled) {
    if (there.contains(number)) selected.insert(number);
  }
  const Readiness* waiting = nullptr;  // of the highest version that waits
  for (const core::VersionNumber number : selected) {
    if (complete.contains(number)) continue;
    const Readiness& state = states.at(number);
    result.incomplete[number] = state.missing;
    if (waiting == nullptr || state.is_coming || !waiting->is_coming) waiting = &state;
  }
  if (waiting != nullptr && (waiting->is_coming || result.wanted.empty())) {
    result.status =
        Error(waiting->is_coming ? StatusCode::kFailedPrecondition : StatusCode::kUnavailable,
              "the ensemble waits for the models of its steps: {}", waiting->missing);
  } else if (selects_none) {
    result.status = core::NoneSelected("the configuration", model.selection, there);
  }
  return result;
}

EnsembleSource::Readiness EnsembleSource::ReadinessOf(const core::ComposedVersion& version) const {
  constexpr uint64_t kPrime = 0x100000001b3;  // FNV-1a
  Readiness state{.missing = "", .revision = version.revision};
  for (const core::ComposedVersion::Part& part : version.parts) {
    const auto handle = part.label.empty() ? manager_->GetHandle(part.model, part.version)
                                           : manager_->GetHandleByLabel(part.model, part.label);
    const int64_t number = handle.ok() ? handle->id().version.value : -1;
    state.revision = (state.revision ^ static_cast<uint64_t>(number)) * kPrime;
    if (handle.ok()) continue;
    if (!state.missing.empty()) state.missing += "; ";
    state.missing += fmt::format("{}: {}", part.used_by, MessageOf(handle.status()));
    state.is_coming |= IsComing(part);
  }
  return state;
}

bool EnsembleSource::IsComing(const core::ComposedVersion::Part& part) const {
  const std::optional<core::ModelStatus> model = manager_->StatusOf(part.model);
  if (!model || !model->is_expected) return false;
  // FAILED_PRECONDITION: the source of the part waits, too.
  if (!model->has_report || model->source_status.code() == StatusCode::kFailedPrecondition)
    return true;
  return std::ranges::any_of(model->versions, [&](const core::VersionStatus& version) {
    if (part.version && version.id.version != *part.version) return false;
    return version.is_aspired && version.state < core::VersionState::kAvailable &&
           !version.HasFailed();
  });
}

}  // namespace penstock
