// SPDX-License-Identifier: Apache-2.0
#include "app/model_list.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <utility>

#include "infer/builtin_models.h"

namespace penstock {

StatusOr<std::string> ReadConfigFile(std::string_view option, const std::string& path) {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(path, ignored);
  std::ifstream file(path);
  if (!file || is_folder) {
    const char* const reason = std::strerror(is_folder ? EISDIR : errno);
    return InvalidArgument("--{}: cannot read {}: {}", option, path, reason);
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

StatusOr<std::vector<ConfiguredModel>> ReadModelList(const Settings& settings) {
  std::vector<ConfiguredModel> models;
  if (settings.model_config_file.empty()) {
    ConfiguredModel model;
    model.name = settings.model_name;
    model.base_path = settings.model_base_path;
    models.push_back(std::move(model));
  } else {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadConfigFile("model_config_file", settings.model_config_file));
    ASSIGN_OR_RETURN(models, tfs::ParseModelConfig(text, settings.model_config_file));
  }
  for (const ConfiguredModel& model : models) {
    if (!IsBuiltinPath(model.base_path)) continue;
    if (const auto builtin = MakeBuiltinModel(model.base_path); !builtin.ok())
      return InvalidArgument("model '{}': {}", model.name, MessageOf(builtin.status()));
  }
  return models;
}

core::ModelConfig ManagerConfig(const ConfiguredModel& model) {
  core::ModelConfig config;
  config.name = model.name;
  config.labels = model.labels;
  return config;
}

DirectoryModel DirectoryConfig(const ConfiguredModel& model) {
  DirectoryModel directory{model.name, model.base_path, {}};
  switch (model.versions) {
    case ConfiguredModel::Versions::kLatest:
      directory.selection = LatestVersions{static_cast<int>(
          std::min<uint32_t>(model.latest_count, std::numeric_limits<int>::max()))};
      break;
    case ConfiguredModel::Versions::kAll:
      directory.selection = AllVersions{};
      break;
    case ConfiguredModel::Versions::kSpecific:
      directory.selection = SpecificVersions{model.specific};
      break;
  }
  return directory;
}

}  // namespace penstock
