// SPDX-License-Identifier: Apache-2.0
// Which models the settings ask for, and what the sources and the manager are told of them.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backends/host/backend_host.h"
#include "base/status.h"
#include "core/manager.h"
#include "options/settings.h"
#include "protocols/tfs/config_files.h"
#include "sources/directory/directory_source.h"
#include "sources/objectstore/object_store_source.h"

namespace penstock {

using tfs::ConfiguredModel;

// The models of --model_config_file, or the one of --model_name and --model_base_path. Errors name
// the file and what is wrong in it.
StatusOr<std::vector<ConfiguredModel>> ReadModelList(const Settings& settings);

// Where the settings configure the models, for messages.
std::string_view ModelListPlace(const Settings& settings);

// INVALID_ARGUMENT if a name is not UTF-8, a built-in model does not exist, a model asks for a
// platform that no installed backend has (lists those), or its experiment for a model that is not
// in the list. `where` begins the message.
Status CheckModels(const std::vector<ConfiguredModel>& models, std::string_view where,
                   const BackendHost& backends);

core::ModelConfig ManagerConfig(const ConfiguredModel& model);
core::VersionSelection SelectionOf(const ConfiguredModel& model);
// Versions that labels name: they are loaded though they are not selected.
std::set<core::VersionNumber> LabelledVersions(const ConfiguredModel& model);
DirectoryModel DirectoryConfig(const ConfiguredModel& model);
ObjectStoreModel ObjectStoreConfig(const ConfiguredModel& model);

}  // namespace penstock
