// SPDX-License-Identifier: Apache-2.0
#include "models/model_set.h"

#include <cstdlib>
#include <memory>
#include <set>
#include <utility>

#include "backends/builtin/builtin_folder.h"
#include "backends/builtin/builtin_models.h"
#include "base/check.h"
#include "loading/model_loader.h"
#include "loading/warm_up_loader.h"
#include "options/component_options.h"
#include "sources/directory/version_folders.h"

namespace penstock {
namespace {

std::string EnvironmentVariable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The kind of source for a base path, for messages and comparisons.
std::string_view SourceOf(std::string_view base_path) {
  if (IsBuiltinPath(base_path)) return "a built-in model";
  return IsS3Path(base_path) ? "an object store" : "a folder";
}

ObjectStoreSourceOptions ObjectOptions(const Settings& settings, const MemoryHistory& history) {
  ObjectStoreSourceOptions options = MakeObjectStoreOptions(settings);
  options.estimate = [&history](const std::string& model, uint64_t reckoned_bytes) {
    return history.Estimate(model, /*backend=*/"", reckoned_bytes);
  };
  return options;
}

}  // namespace

ModelSet::ModelSet(const Settings& settings, BackendHost& backends, MetricsRegistry& metrics,
                   core::Manager& manager, Experiments& experiments)
    : load_options_(MakeLoadOptions(settings)),
      inline_options_(MakeInlineOptions(settings)),
      warm_up_options_(MakeWarmUpOptions(settings)),
      backends_(backends),
      metrics_(metrics),
      manager_(manager),
      experiments_(experiments),
      folders_(MakeDirectoryOptions(settings),
               [this](const core::ServableId& id, const std::string& path) {
                 return MakeLoader(id, path);
               }),
      objects_(ObjectOptions(settings, memory_history_), S3SettingsOf(EnvironmentVariable),
               [this](const core::ServableId& id, const std::string& path) {
                 return MakeLoader(id, path);
               }) {}

struct ModelSet::Parts {
  std::vector<core::ModelConfig> configs;
  std::vector<FixedVersion> builtins;
  std::vector<DirectoryModel> folders;
  std::vector<ObjectStoreModel> objects;
  std::map<std::string, Place, std::less<>> places;
  ExperimentList experiments;
  std::set<std::string> names;
};

Status ModelSet::Apply(const std::vector<ConfiguredModel>& models, std::string_view where,
                       std::string_view retried) {
  TRY(CheckModels(models, where, backends_));
  MutexLock lock(mutex_);
  TRY(CheckPlaces(models, where));
  Parts parts = Divide(models, retried);
  TRY(CheckSources(parts, where));
  // The manager comes first, because it ignores versions of models that it does not know.
  TRY(manager_.SetModels(std::move(parts.configs)));
  ++generation_;
  experiments_.Set(parts.experiments);
  places_ = std::move(parts.places);
  memory_history_.KeepOnly(parts.names);
  builtins_.SetVersions(std::move(parts.builtins));
  for (const Status& status :
       {folders_.SetModels(std::move(parts.folders)), objects_.SetModels(std::move(parts.objects))})
    PENSTOCK_CHECK(status.ok(), "what was checked is refused");
  return OkStatus();
}

ModelSet::Parts ModelSet::Divide(const std::vector<ConfiguredModel>& models,
                                 std::string_view retried) const {
  const uint64_t generation = generation_ + 1;
  Parts parts;
  for (const ConfiguredModel& model : models) {
    core::ModelConfig& config = parts.configs.emplace_back(ManagerConfig(model));
    config.generation = generation;
    config.retries_failed = model.name == retried;
    Place place = PlaceOf(model, generation);
    config.same_since = place.same_since;
    parts.places.emplace(model.name, std::move(place));
    parts.experiments.emplace(model.name, model.experiment);
    parts.names.insert(model.name);
    if (IsBuiltinPath(model.base_path)) {
      parts.builtins.push_back(BuiltinVersion(model));
    } else if (IsS3Path(model.base_path)) {
      parts.objects.push_back(ObjectStoreConfig(model));
      parts.objects.back().generation = generation;
    } else {
      parts.folders.push_back(DirectoryConfig(model));
      parts.folders.back().generation = generation;
    }
  }
  return parts;
}

Status ModelSet::CheckSources(const Parts& parts, std::string_view where) {
  Status status = DirectorySource::CheckModels(parts.folders);
  if (status.ok()) status = ObjectStoreSource::CheckModels(parts.objects);
  if (status.ok() && !parts.objects.empty()) status = objects_.Prepare();
  if (!status.ok()) return Error(status.code(), "{}: {}", where, MessageOf(status));
  return OkStatus();
}

Status ModelSet::CheckPlaces(const std::vector<ConfiguredModel>& models,
                             std::string_view where) const {
  for (const ConfiguredModel& model : models) {
    const auto found = places_.find(model.name);
    if (found == places_.end()) continue;
    const Place& place = found->second;
    if (place.platform != model.platform) {
      return InvalidArgument(
          "{}: model '{}' has the platform '{}', which cannot become '{}': remove the model first",
          where, model.name, place.platform, model.platform);
    }
    if (SourceOf(place.base_path) != SourceOf(model.base_path)) {
      return Error(StatusCode::kFailedPrecondition,
                   "{}: model '{}' cannot move between {} and {}: remove it first", where,
                   model.name, SourceOf(place.base_path), SourceOf(model.base_path));
    }
  }
  return OkStatus();
}

ModelSet::Place ModelSet::PlaceOf(const ConfiguredModel& model, uint64_t generation) const {
  Place place{model.base_path,    model.platform,          WarmUpOf(model),
              SelectionOf(model), LabelledVersions(model), generation};
  const auto old = places_.find(model.name);
  if (old != places_.end() && old->second.base_path == place.base_path &&
      old->second.selection == place.selection && old->second.labelled == place.labelled) {
    place.same_since = old->second.same_since;
  }
  return place;
}

WarmUpOptions ModelSet::WarmUpOf(const ConfiguredModel& model) const {
  WarmUpOptions options = warm_up_options_;
  options.enabled = model.warm_up_enabled.value_or(options.enabled);
  if (model.warm_up_iterations > 0) options.iterations = static_cast<int>(model.warm_up_iterations);
  return options;
}

FixedVersion ModelSet::BuiltinVersion(const ConfiguredModel& model) const {
  const core::ServableId id{model.name, {1}};
  return {id, [id, path = model.base_path, &metrics = metrics_, options = inline_options_] {
            return MakeBuiltinLoader(id, path, metrics, options);
          }};
}

StatusOr<std::unique_ptr<core::Loader>> ModelSet::MakeLoader(const core::ServableId& id,
                                                             const std::string& path) {
  LoadOptions options = load_options_;
  WarmUpOptions warm_up = warm_up_options_;
  options.model_name = id.name;
  {
    MutexLock lock(mutex_);
    const auto place = places_.find(id.name);
    if (place != places_.end()) {
      options.platform = place->second.platform;
      warm_up = place->second.warm_up;
    }
  }
  std::unique_ptr<core::Loader> loader;
  if (IsBuiltinFolder(path)) {
    loader = MakeBuiltinFolderLoader(id, path, metrics_, inline_options_);
  } else {
    loader = std::make_unique<HostedLoader>(id, path, std::move(options), backends_, metrics_,
                                            memory_history_, inline_options_);
  }
  if (!warm_up.enabled) return loader;
  return std::make_unique<WarmUpLoader>(id, path, std::move(warm_up), std::move(loader), metrics_);
}

bool ModelSet::HasVersion(const std::string& model, core::VersionNumber version) const {
  std::string base_path;
  {
    MutexLock lock(mutex_);
    const auto place = places_.find(model);
    if (place == places_.end()) return false;
    base_path = place->second.base_path;
  }
  if (IsS3Path(base_path)) return objects_.HasVersion(model, version);
  const auto folders = ListVersions(base_path);
  return folders.ok() && folders->contains(version);
}

bool ModelSet::LacksVersion(const ConfiguredModel& model, core::VersionNumber version) const {
  for (const core::VersionStatus& known : manager_.VersionStatuses(model.name)) {
    if (known.id.version == version && known.is_aspired) return false;
  }
  if (IsBuiltinPath(model.base_path)) return version != core::VersionNumber{1};
  if (IsS3Path(model.base_path)) {
    MutexLock lock(mutex_);
    const auto place = places_.find(model.name);
    if (place == places_.end() || place->second.base_path != model.base_path) return false;
    return manager_.IsModelReady(model.name).value_or(false) &&
           !objects_.HasVersion(model.name, version);
  }
  const auto folders = ListVersions(model.base_path);
  return folders.ok() && !folders->contains(version);
}

void ModelSet::Start() {
  builtins_.Start(manager_);
  folders_.Start(manager_);
  objects_.Start(manager_);
}

void ModelSet::Stop() {
  builtins_.Stop();
  folders_.Stop();
  objects_.Stop();
}

}  // namespace penstock
