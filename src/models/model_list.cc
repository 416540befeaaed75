// SPDX-License-Identifier: Apache-2.0
#include "models/model_list.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "backends/builtin/builtin_models.h"
#include "base/log.h"
#include "base/utf8.h"
#include "config/shard_filter.h"
#include "models/ensemble_list.h"
#include "options/config_file.h"

namespace penstock {
namespace {

std::string HostName() {
  std::array<char, 256> name = {};
  // The last byte stays 0, also if the name is cut.
  return gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string();
}

Status CheckExperiments(const std::vector<ConfiguredModel>& models, std::string_view where) {
  std::set<std::string_view> names;
  for (const ConfiguredModel& model : models) names.insert(model.name);
  for (const ConfiguredModel& model : models) {
    std::vector<const ExperimentTarget*> targets;
    for (const ArmOptions& arm : model.experiment.arms) targets.push_back(&arm.target);
    for (const ShadowOptions& shadow : model.experiment.shadows) targets.push_back(&shadow.target);
    for (const ExperimentTarget* target : targets) {
      if (names.contains(target->model)) continue;
      return InvalidArgument(
          "{}: model '{}' has an experiment with the model '{}', which is not in the list", where,
          model.name, target->model);
    }
  }
  return OkStatus();
}

std::string WhyNoSource(const Sources& sources, std::string_view base_path) {
  std::vector<std::string_view> kinds;
  for (const auto& source : sources) kinds.push_back(source->kind());
  return fmt::format(
      "'{}': there is no source for {}://, only for {}; mount it as a folder, or name its S3 "
      "interface with S3_ENDPOINT",
      base_path, base_path.substr(0, base_path.find("://")), fmt::join(kinds, ", "));
}

}  // namespace

core::ModelSource* FindSource(const Sources& sources, std::string_view base_path) {
  for (const auto& source : sources) {
    if (source->Matches(base_path)) return source.get();
  }
  return nullptr;
}

std::string_view ModelListOrigin(const Settings& settings) {
  if (settings.model_config_file.empty()) return "--model_base_path";
  return settings.model_config_file;
}

StatusOr<std::vector<ConfiguredModel>> KeepOwnModels(const Settings& settings,
                                                     std::vector<ConfiguredModel> models,
                                                     std::string_view where) {
  if (settings.shard_filter.empty()) return models;
  const std::optional<int64_t> ordinal =
      settings.shard_ordinal >= 0 ? settings.shard_ordinal : OrdinalOf(HostName());
  StatusOr<ShardFilter> filter = ShardFilter::Parse(settings.shard_filter, ordinal);
  if (!filter.ok()) return InvalidArgument("--shard_filter: {}", MessageOf(filter.status()));
  std::vector<ConfiguredModel> kept;
  for (ConfiguredModel& model : models) {
    const StatusOr<bool> is_kept = filter->Keeps(model.name);
    if (!is_kept.ok()) return InvalidArgument("--shard_filter: {}", MessageOf(is_kept.status()));
    if (*is_kept) kept.push_back(std::move(model));
  }
  if (kept.empty())
    PENSTOCK_LOG(kWarning, "--shard_filter keeps no model of {}: this server serves none", where);
  return kept;
}

StatusOr<std::vector<ConfiguredModel>> ReadModelList(const Settings& settings) {
  if (!settings.model_config_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadConfigFile("model_config_file", settings.model_config_file));
    // TensorFlow Serving starts with an empty file and waits for a reload. Without its name, an
    // empty file is more likely a mistake.
    const auto empty_file = StandsInForTfs(settings) ? EmptyFile::kNoModels : EmptyFile::kError;
    ASSIGN_OR_RETURN(std::vector<ConfiguredModel> all,
                     ParseModelConfig(text, settings.model_config_file, empty_file));
    return KeepOwnModels(settings, std::move(all), settings.model_config_file);
  }
  std::vector<ConfiguredModel> models(1);
  models[0].name = settings.model_name;
  ASSIGN_OR_RETURN(models[0].base_path, ReadBasePath(settings.model_base_path));
  return models;
}

Status CheckModels(const std::vector<ConfiguredModel>& models, std::string_view where,
                   const Sources& sources, const BackendHost& backends) {
  TRY(CheckExperiments(models, where));
  TRY(CheckEnsembles(models, where));
  for (const ConfiguredModel& model : models) {
    // The name goes into JSON and metrics, which allow only UTF-8.
    if (const std::string name = ToUtf8(model.name); name != model.name)
      return InvalidArgument("{}: the model's name '{}' is not UTF-8", where, name);
    if (FindSource(sources, model.base_path) == nullptr)
      return InvalidArgument("{}: model '{}' has the base_path {}", where, model.name,
                             WhyNoSource(sources, model.base_path));
    if (IsBuiltinPath(model.base_path)) {
      // Made only to get the error: a wrong name must fail the configuration now and not the load
      // later.
      if (const auto builtin = MakeBuiltinModel(model.base_path); !builtin.ok())
        return InvalidArgument("{}: model '{}': {}", where, model.name,
                               MessageOf(builtin.status()));
      if (!model.platform.empty())
        return InvalidArgument("{}: model '{}' is built in ({}), so leave out model_platform '{}'",
                               where, model.name, model.base_path, model.platform);
      continue;
    }
    if (model.platform.empty()) continue;
    LoadOptions options;
    options.platform = model.platform;
    const auto backend = backends.BackendFor(model.base_path, options);
    if (!backend.ok()) {
      return InvalidArgument("{}: model '{}' requests the unsupported model_platform '{}': {}",
                             where, model.name, model.platform, MessageOf(backend.status()));
    }
  }
  return OkStatus();
}

core::ModelConfig ManagerConfig(const ConfiguredModel& model) {
  core::ModelConfig config;
  config.name = model.name;
  config.labels = model.labels;
  config.holds_labels = model.holds_labels;
  if (model.preserves_resources) config.policy = &core::ResourcePreservingPolicy();
  // A model without any selected version has nothing to load, so the server must not wait for it to
  // become ready.
  const bool wants_none =
      model.versions == ConfiguredModel::Versions::kSpecific && model.specific.empty();
  config.load_mode = wants_none ? core::LoadMode::kNever : model.load_mode;
  config.unload_after_idle = model.unload_after_idle;
  config.keep_loaded = model.keep_loaded;
  config.load_timeout = model.load_timeout;
  config.memory_bytes = model.memory_bytes;
  return config;
}

core::VersionSelection SelectionOf(const ConfiguredModel& model) {
  switch (model.versions) {
    case ConfiguredModel::Versions::kAll:
      return core::AllVersions{};
    case ConfiguredModel::Versions::kSpecific:
      return core::SpecificVersions{model.specific};
    case ConfiguredModel::Versions::kLatest:
      break;
  }
  return core::LatestVersions{
      static_cast<int>(std::min<uint32_t>(model.latest_count, std::numeric_limits<int>::max()))};
}

std::set<core::VersionNumber> LabelledVersions(const ConfiguredModel& model) {
  std::set<core::VersionNumber> versions;
  for (const auto& [label, version] : model.labels) versions.insert(version);
  return versions;
}

core::SourceModel SourceConfig(const ConfiguredModel& model) {
  return {model.name,       model.base_path,         SelectionOf(model),
          /*generation=*/0, LabelledVersions(model), ComposedVersions(model)};
}

}  // namespace penstock
