// SPDX-License-Identifier: Apache-2.0
// Reads the list of models from the settings, and converts it for the sources and the manager.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backends/host/backend_host.h"
#include "base/status.h"
#include "config/config_files.h"
#include "core/manager.h"
#include "core/model_source.h"
#include "options/settings.h"

namespace penstock {

// Returns the models of --model_config_file, or the one of --model_name and --model_base_path.
// Errors name the file and the mistake in it.
StatusOr<std::vector<ConfiguredModel>> ReadModelList(const Settings& settings);

// Leaves only the models that --shard_filter keeps. `where` is for messages. Errors: those of
// ShardFilter.
StatusOr<std::vector<ConfiguredModel>> KeepOwnModels(const Settings& settings,
                                                     std::vector<ConfiguredModel> models,
                                                     std::string_view where);

// The name of the file or flag that configures the models, for messages.
std::string_view ModelListOrigin(const Settings& settings);

// The sources that the server is built with. The first one that matches a base path reads it.
using Sources = std::vector<std::unique_ptr<core::ModelSource>>;

// Returns the source of a base path; null: no source reads such paths.
core::ModelSource* FindSource(const Sources& sources, std::string_view base_path);

// Checks a list of models. INVALID_ARGUMENT if a name is not UTF-8, no source reads a base path, a
// built-in model does not exist, no installed backend has the platform of a model (the message
// lists the platforms), an experiment names a model that is not in the list, or for an error of
// CheckEnsembles. The message begins with `where`.
Status CheckModels(const std::vector<ConfiguredModel>& models, std::string_view where,
                   const Sources& sources, const BackendHost& backends);

// Convert one model's configuration: to the manager's form, to the version policy, and to the form
// of the sources. The generation is not set; ModelSet sets it. They check nothing: CheckModels has
// done that.
core::ModelConfig ManagerConfig(const ConfiguredModel& model);
core::VersionSelection SelectionOf(const ConfiguredModel& model);
// The versions that labels name. They are loaded even if the version policy does not select them.
std::set<core::VersionNumber> LabelledVersions(const ConfiguredModel& model);
core::SourceModel SourceConfig(const ConfiguredModel& model);

}  // namespace penstock
