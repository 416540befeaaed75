// SPDX-License-Identifier: Apache-2.0
#include "remote/remote_source.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/executor.h"
#include "config/remote_config.h"
#include "core/version_messages.h"

namespace penstock::remote {
namespace {

// Adds what shall be loaded of `chosen` to `result`.
void Want(const std::set<core::VersionNumber>& chosen, const core::SourceModel& model,
          core::ScanResult& result) {
  const std::set<core::VersionNumber> main = core::SelectVersions(model.selection, chosen);
  for (const core::VersionNumber version : chosen) {
    const auto declared = model.composed.find(version);
    result.wanted[version] = {
        .path = model.base_path,
        .revision = declared == model.composed.end() ? 0 : declared->second.revision,
        .role = main.contains(version) ? core::VersionRole::kMain : core::VersionRole::kLabel};
  }
}

core::ScanResult ScanDeclared(const core::SourceModel& model) {
  std::set<core::VersionNumber> there;
  for (const auto& [version, declared] : model.composed) there.insert(version);
  std::set<core::VersionNumber> chosen = core::SelectVersions(model.selection, there);
  core::ScanResult result;
  if (chosen.empty())
    result.status = core::NoneSelected("the configuration", model.selection, there);
  for (const core::VersionNumber version : model.labelled) {
    if (there.contains(version)) chosen.insert(version);
  }
  Want(chosen, model, result);
  return result;
}

core::ScanResult ScanFollowed(const core::SourceModel& model, const WatchView& view) {
  core::ScanResult result;
  Want(ChooseVersions(view.versions, model.selection, model.labelled), model, result);
  std::set<core::VersionNumber> there;
  for (const auto& [version, state] : view.versions) there.insert(version);
  std::set<core::VersionNumber> selected = core::SelectVersions(model.selection, there);
  selected.insert(model.labelled.begin(), model.labelled.end());
  std::string missing;
  for (const core::VersionNumber version : selected) {
    const auto state = view.versions.find(version);
    if (state == view.versions.end() || result.wanted.contains(version)) continue;
    // It goes away at the targets: nothing is missing.
    if (state->second.missing.empty() || state->second.is_left) continue;
    missing = result.incomplete[version] = state->second.missing;
  }
  if (!missing.empty()) {
    result.status =
        Error(StatusCode::kFailedPrecondition, "the remote model waits for its targets: {}{}{}",
              missing, view.failures.empty() ? "" : "; ", view.failures);
  } else if (!result.wanted.empty()) {
    result.status = OkStatus();
  } else if (!view.failures.empty()) {
    result.status =
        Error(StatusCode::kUnavailable, "no target has an available version: {}", view.failures);
  } else {
    result.status = core::NoneSelected("the targets", model.selection, there);
  }
  return result;
}

}  // namespace

bool RemoteSource::Matches(std::string_view base_path) const { return base_path == kRemotePath; }

void RemoteSource::Start(core::AspiredTarget& target) {
  PENSTOCK_CHECK(watches_ != nullptr, "a remote source without its watches");
  reporter_.emplace(target, /*keeps_last_versions=*/false);
  watches_->Listen([this](const std::string& model) {
    MutexLock lock(mutex_);
    changed_.insert(model);
    wake_.NotifyAll();
  });
  MutexLock lock(mutex_);
  is_started_ = true;
  if (!models_->empty()) StartThread();
}

void RemoteSource::Stop() {
  {
    MutexLock lock(mutex_);
    is_stopped_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  if (watches_ != nullptr) watches_->Listen(nullptr);
}

Status RemoteSource::Check(const std::vector<core::SourceModel>& models) {
  return core::CheckSourceModels(models);
}

Status RemoteSource::SetModels(std::vector<core::SourceModel> models) {
  TRY(Check(models));
  MutexLock lock(mutex_);
  models_ = std::make_shared<const List>(std::move(models));
  is_new_list_ = true;
  if (is_started_ && !models_->empty()) StartThread();
  wake_.NotifyAll();
  return OkStatus();
}

std::optional<bool> RemoteSource::HasVersion(const std::string& model, const std::string&,
                                             core::VersionNumber version) const {
  {
    MutexLock lock(mutex_);
    const auto found = std::ranges::find(*models_, model, &core::SourceModel::name);
    if (found == models_->end()) return std::nullopt;  // its list is not in force yet
    if (!found->composed.empty()) return found->composed.contains(version);
  }
  const std::shared_ptr<VersionWatch> watch = watches_ == nullptr ? nullptr : watches_->Find(model);
  if (watch == nullptr) return std::nullopt;
  const WatchView view = watch->view();
  if (!view.is_known) return std::nullopt;
  return view.versions.contains(version);
}

StatusOr<std::map<core::VersionNumber, std::string>> RemoteSource::ListVersions(
    const std::string&) const {
  return absl::UnimplementedError(
      "the versions of a remote model are those of its targets, or in the configuration: ask a "
      "server that serves it");
}

void RemoteSource::StartThread() {
  if (thread_.joinable() || is_stopped_) return;
  thread_ = std::thread([this] { Run(); });
}

void RemoteSource::Run() {
  SetThreadName("remote-source");
  for (;;) {
    std::shared_ptr<const List> models;
    std::set<std::string> changed;
    bool is_new_list = false;
    {
      MutexLock lock(mutex_);
      while (!is_stopped_ && !is_new_list_ && changed_.empty()) wake_.Wait(mutex_);
      if (is_stopped_) return;
      models = models_;
      changed.swap(changed_);
      is_new_list = std::exchange(is_new_list_, false);
    }
    if (is_new_list) reporter_->SetModels(*models);
    for (const core::SourceModel& model : *models) {
      if (is_new_list || changed.contains(model.name)) Report(model);
    }
  }
}

void RemoteSource::Report(const core::SourceModel& model) {
  const std::optional<core::ScanResult> result = Scan(model);
  if (!result) return;
  reporter_->Report(model.name, reporter_->BeginScan(model.name), *result,
                    [&](core::VersionNumber version, const core::FoundVersion& found) {
                      return make_loader_({model.name, version}, found.path);
                    });
}

std::optional<core::ScanResult> RemoteSource::Scan(const core::SourceModel& model) const {
  if (!model.composed.empty()) return ScanDeclared(model);
  const std::shared_ptr<VersionWatch> watch = watches_->Find(model.name);
  if (watch == nullptr) return std::nullopt;
  const WatchView view = watch->view();
  if (!view.is_known) return std::nullopt;
  return ScanFollowed(model, view);
}

}  // namespace penstock::remote
