// SPDX-License-Identifier: Apache-2.0
#include "models/model_set.h"

#include <cstdlib>
#include <memory>
#include <utility>

#include "infer/builtin_folder.h"
#include "infer/builtin_models.h"
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

// What tells of the versions at a base path, for messages and comparisons.
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

StatusOr<std::set<std::string>> ModelSet::Apply(const std::vector<ConfiguredModel>& models,
                                                std::string_view where) {
  TRY(CheckModels(models, where, backends_));
  MutexLock lock(mutex_);
  TRY(CheckPlaces(models, where));
  std::set<std::string> moved;
  std::vector<core::ModelConfig> configs;
  std::vector<FixedVersion> builtins;
  std::vector<DirectoryModel> folders;
  std::vector<ObjectStoreModel> objects;
  std::map<std::string, Place, std::less<>> places;
  for (const ConfiguredModel& model : models) {
    const auto old = places_.find(model.name);
    if (old == places_.end() || old->second.base_path != model.base_path) moved.insert(model.name);
    configs.push_back(ManagerConfig(model));
    places.emplace(model.name, Place{model.base_path, model.platform, WarmUpOf(model)});
    if (IsBuiltinPath(model.base_path)) {
      builtins.push_back(BuiltinVersion(model));
    } else if (IsS3Path(model.base_path)) {
      objects.push_back(ObjectStoreConfig(model));
    } else {
      folders.push_back(DirectoryConfig(model));
    }
  }
  if (!objects.empty()) {
    if (const Status status = objects_.Prepare(); !status.ok())
      return Error(status.code(), "{}: {}", where, MessageOf(status));
  }
  // The manager first: it takes no versions of models that it does not know.
  TRY(manager_.SetModels(std::move(configs)));
  ExperimentList experiments;
  for (const ConfiguredModel& model : models) experiments.emplace(model.name, model.experiment);
  experiments_.Set(experiments);
  places_ = std::move(places);
  std::set<std::string> names;
  for (const ConfiguredModel& model : models) names.insert(model.name);
  memory_history_.KeepOnly(names);
  builtins_.SetVersions(std::move(builtins));
  TRY(folders_.SetModels(std::move(folders)));
  TRY(objects_.SetModels(std::move(objects)));
  return moved;
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
