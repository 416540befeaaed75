// SPDX-License-Identifier: Apache-2.0
#include "sources/directory/directory_source.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/executor.h"
#include "sources/directory/version_folders.h"

namespace penstock {
namespace {

constexpr size_t kListedVersionsMax = 20;  // in a message

template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
// clang 16 does not deduce for aggregates by itself.
template <typename... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

Status CheckModel(const DirectoryModel& model) {
  if (model.name.empty()) {
    return InvalidArgument("the model with base path \"{}\" has no name", model.base_path);
  }
  if (model.base_path.empty()) {
    return InvalidArgument("the model \"{}\" has no base path", model.name);
  }
  const auto* latest = std::get_if<LatestVersions>(&model.selection);
  if (latest != nullptr && latest->count < 1) {
    return InvalidArgument(
        "the model \"{}\" shall serve the latest {} versions; at least 1 is needed", model.name,
        latest->count);
  }
  if (const auto* specific = std::get_if<SpecificVersions>(&model.selection)) {
    for (const core::VersionNumber version : specific->versions) {
      if (version.value >= 0) continue;
      return InvalidArgument(
          "the model \"{}\" shall serve version {}, but versions are not negative", model.name,
          version.value);
    }
  }
  return OkStatus();
}

// Leaves in `folders` only what the selection wants.
void Select(const VersionSelection& selection,
            std::map<core::VersionNumber, std::string>& folders) {
  std::visit(Overloaded{[&](const LatestVersions& latest) {
                          while (folders.size() > static_cast<size_t>(latest.count)) {
                            folders.erase(folders.begin());
                          }
                        },
                        [](const AllVersions&) {},
                        [&](const SpecificVersions& specific) {
                          const auto& wanted = specific.versions;
                          std::erase_if(folders, [&](const auto& item) {
                            return std::find(wanted.begin(), wanted.end(), item.first) ==
                                   wanted.end();
                          });
                        }},
             selection);
}

// Why nothing can be loaded from a base path that has the versions `there`.
Status NothingWanted(const std::string& base_path, const std::vector<std::string>& there) {
  if (!there.empty()) {
    return Error(StatusCode::kNotFound,
                 "none of the wanted versions is in base path {}; there are: {}", base_path,
                 fmt::join(there, ", "));
  }
  const std::string own_name = std::filesystem::path(base_path + "/").parent_path().filename();
  return Error(
      StatusCode::kNotFound,
      "there are no versions in base path {}: a version is a folder named by a number{}", base_path,
      ParseVersion(own_name) ? "; this one is a version itself: give the folder above" : "");
}

}  // namespace

DirectorySource::DirectorySource(DirectorySourceOptions options, DirectoryLoaderFactory make_loader)
    : options_(options), make_loader_(std::move(make_loader)) {}

DirectorySource::~DirectorySource() { Stop(); }

void DirectorySource::Start(core::AspiredTarget& target) {
  target_ = &target;
  thread_ = std::thread([this] { RunThread(); });
}

void DirectorySource::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  if (thread_.joinable()) thread_.join();
}

Status DirectorySource::SetModels(std::vector<DirectoryModel> models) {
  std::set<std::string_view> names;
  for (const DirectoryModel& model : models) {
    TRY(CheckModel(model));
    if (!names.insert(model.name).second) {
      return InvalidArgument("the model \"{}\" is configured twice", model.name);
    }
  }
  MutexLock lock(mutex_);
  models_ = std::move(models);
  models_changed_ = true;
  wake_.NotifyOne();
  return OkStatus();
}

void DirectorySource::RunThread() {
  SetThreadName("source");
  while (WaitForLook()) {
    TakeModels();
    if (options_.poll_period < Duration::zero()) continue;
    for (auto& [name, watched] : watched_) LookAt(watched);
  }
}

bool DirectorySource::WaitForLook() {
  MutexLock lock(mutex_);
  const SteadyTime next = Clock::Real().Now() + options_.poll_period;
  while (!stopping_ && !models_changed_) {
    if (options_.poll_period <= Duration::zero() || watched_.empty()) {
      wake_.Wait(mutex_);
    } else if (!wake_.WaitUntil(mutex_, next)) {
      break;
    }
  }
  return !stopping_;
}

void DirectorySource::TakeModels() {
  std::map<std::string, DirectoryModel> models;
  {
    MutexLock lock(mutex_);
    if (!std::exchange(models_changed_, false)) return;
    for (const DirectoryModel& model : models_) models.emplace(model.name, model);
  }
  std::erase_if(watched_, [&](const auto& item) {
    if (models.contains(item.first)) return false;
    target_->SetAspired(item.first, {});
    return true;
  });
  for (auto& [name, model] : models) {
    Watched& watched = watched_[name];
    watched.model = std::move(model);
    // The target may have forgotten a model that was removed and added again.
    watched.was_told = false;
    watched.shall_tell_error = true;
  }
}

void DirectorySource::LookAt(Watched& watched) const {
  StatusOr<Folders> folders = ListVersions(watched.model.base_path);
  Status status = folders.status();
  if (status.ok()) {
    std::vector<std::string> there;
    for (const auto& [version, path] : *folders) {
      if (there.size() < kListedVersionsMax) there.push_back(std::to_string(version.value));
    }
    Select(watched.model.selection, *folders);
    if (folders->empty()) status = NothingWanted(watched.model.base_path, there);
  }
  const std::string error = std::string(MessageOf(status));
  const bool is_again = std::exchange(watched.shall_tell_error, false) && !error.empty();
  if (std::exchange(watched.error, error) != error || is_again) {
    target_->SetSourceStatus(watched.model.name, status);
  }
  if (!folders.ok()) return;
  if (watched.was_told && *folders == watched.told && !CanMakeMissingLoader(watched)) return;
  Tell(watched, *std::move(folders));
}

void DirectorySource::Tell(Watched& watched, Folders folders) const {
  std::vector<core::AspiredVersion> versions;
  watched.no_loader.clear();
  for (const auto& [version, path] : folders) {
    versions.push_back({version, make_loader_({watched.model.name, version}, path)});
    if (!versions.back().loader.ok()) watched.no_loader.insert(version);
  }
  watched.was_told = true;
  watched.told = std::move(folders);
  target_->SetAspired(watched.model.name, std::move(versions));
}

bool DirectorySource::CanMakeMissingLoader(const Watched& watched) const {
  return std::any_of(
      watched.no_loader.begin(), watched.no_loader.end(), [&](core::VersionNumber version) {
        return make_loader_({watched.model.name, version}, watched.told.at(version)).ok();
      });
}

}  // namespace penstock
