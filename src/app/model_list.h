// SPDX-License-Identifier: Apache-2.0
// Which models the settings ask for, and what the sources and the manager are told of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/settings.h"
#include "backends/host/backend_host.h"
#include "base/status.h"
#include "core/manager.h"
#include "protocols/tfs/config_files.h"
#include "sources/directory/directory_source.h"

namespace penstock {

using tfs::ConfiguredModel;

// The contents of a small file; the error names `option`, which asked for it.
StatusOr<std::string> ReadConfigFile(std::string_view option, const std::string& path);

// The models of --model_config_file, or the one of --model_name and --model_base_path. Errors name
// the file and what is wrong in it.
StatusOr<std::vector<ConfiguredModel>> ReadModelList(const Settings& settings);

// INVALID_ARGUMENT if a model asks for a platform that no installed backend has; lists those.
Status CheckPlatforms(const std::vector<ConfiguredModel>& models, const Settings& settings,
                      const BackendHost& backends);

core::ModelConfig ManagerConfig(const ConfiguredModel& model);
DirectoryModel DirectoryConfig(const ConfiguredModel& model);

}  // namespace penstock
