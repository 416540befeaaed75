// SPDX-License-Identifier: Apache-2.0
// Operators change single models through the admin API. These changes are kept apart from the
// configuration, as a small message (ServerState) that is laid over it: models that were added or
// removed, and for each model its pin, its load mode and its labels. So the file with the
// configuration can change below, and an operator's pin stays.
//
// A model that was removed must be noted only if the configuration has it. Otherwise it would be
// enough to forget that it was added.
#include "models/model_overrides.h"

#include <google/protobuf/text_format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/os/durable_file.h"
#include "config/text_format.h"
#include "options/config_file.h"
#include "penstock/server_state.pb.h"

namespace penstock {
namespace {

using tensorflow::serving::ModelConfig;

template <typename List>
auto FindModel(List& models, std::string_view name) {
  return std::find_if(models.begin(), models.end(),
                      [&](const ConfiguredModel& model) { return model.name == name; });
}

StatusOr<ConfiguredModel> Converted(const ModelConfig& config) {
  tensorflow::serving::ModelServerConfig list;
  *list.mutable_model_config_list()->add_config() = config;
  ASSIGN_OR_RETURN(std::vector<ConfiguredModel> models, ConvertModelConfig(list, "the admin API"));
  return std::move(models[0]);
}

}  // namespace

ModelOverrides::ModelOverrides() : state_(new config::ServerState) {}
ModelOverrides::ModelOverrides(const ModelOverrides& other)
    : state_(new config::ServerState(*other.state_)) {}
ModelOverrides::ModelOverrides(ModelOverrides&& other) noexcept = default;
ModelOverrides& ModelOverrides::operator=(ModelOverrides&& other) noexcept = default;
ModelOverrides::~ModelOverrides() = default;

Status ModelOverrides::Read(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    // No file yet is the normal first start. But if the folder is missing, too, the path is wrong,
    // and no change could be written.
    const fs::path folder = fs::absolute(path).parent_path();
    if (fs::is_directory(folder, error)) return OkStatus();
    return InvalidArgument("--state_file: there is no folder {}", folder.string());
  }
  if (!fs::is_regular_file(status))
    return InvalidArgument("--state_file: {} is not a file that can be read", path);
  ASSIGN_OR_RETURN(const std::string text, ReadConfigFile("state_file", path));
  config::ServerState state;
  if (const Status parsed = ParseTextFormat(text, path, state); !parsed.ok()) {
    return InvalidArgument(
        "--state_file: {}: mend it, or remove it to forget what the admin API has changed",
        MessageOf(parsed));
  }
  // All of it is checked now: a mistake must stop the start of the server, and not make the first
  // change fail.
  for (const ModelConfig& added : state.added()) {
    if (const auto model = Converted(added); !model.ok())
      return InvalidArgument("--state_file: {}: {}", path, MessageOf(model.status()));
  }
  for (const auto& [name, changed] : state.models()) {
    if (changed.pinned_version() >= 0) continue;
    return InvalidArgument("--state_file: {}: model {} is pinned to version {}: must be 0 or more",
                           path, name, changed.pinned_version());
  }
  *state_ = std::move(state);
  return OkStatus();
}

Status ModelOverrides::Write(const std::string& path) const {
  std::string text;
  google::protobuf::TextFormat::PrintToString(*state_, &text);
  return ReplaceFileDurably(
      path, "# Written by penstock serve: what the admin API has changed.\n" + text);
}

StatusOr<std::vector<ConfiguredModel>> ModelOverrides::Over(
    std::vector<ConfiguredModel> base) const {
  // The order matters. A model can be removed and then added again with another configuration, and
  // changes of single properties apply to added models, too.
  for (const std::string& removed : state_->removed())
    std::erase_if(base, [&](const ConfiguredModel& model) { return model.name == removed; });
  for (const ModelConfig& added : state_->added()) {
    ASSIGN_OR_RETURN(ConfiguredModel model, Converted(added));
    const auto old = FindModel(base, model.name);
    if (old == base.end()) {
      base.push_back(std::move(model));
    } else {
      *old = std::move(model);
    }
  }
  for (ConfiguredModel& model : base) {
    const auto found = state_->models().find(model.name);
    if (found == state_->models().end()) continue;
    const config::ModelOverride& changed = found->second;
    if (changed.has_pinned_version()) {
      model.versions = ConfiguredModel::Versions::kSpecific;
      model.specific = {core::VersionNumber{changed.pinned_version()}};
    }
    if (changed.has_load()) {
      model.load_mode =
          changed.load() == config::NEVER ? core::LoadMode::kNever : core::LoadMode::kAlways;
    }
    for (const std::string& label : changed.removed_labels()) model.labels.erase(label);
    for (const auto& [label, version] : changed.labels())
      model.labels[label] = core::VersionNumber{version};
  }
  return base;
}

Status ModelOverrides::Add(const ModelChange& change, const std::vector<ConfiguredModel>& base) {
  const bool is_in_base = FindModel(base, change.model) != base.end();
  if (change.kind != ModelChange::Kind::kPut) {
    ASSIGN_OR_RETURN(const std::vector<ConfiguredModel> models, Over(base));
    const auto model = FindModel(models, change.model);
    if (model == models.end())
      return Error(StatusCode::kNotFound, "no model is called '{:.200}'", change.model);
    if (change.kind != ModelChange::Kind::kRemove) return AddToModel(change, base);
  }
  auto& added = *state_->mutable_added();
  auto& removed = *state_->mutable_removed();
  const auto is_it = [&](const ModelConfig& config) { return config.name() == change.model; };
  added.erase(std::remove_if(added.begin(), added.end(), is_it), added.end());
  removed.erase(std::remove(removed.begin(), removed.end(), change.model), removed.end());
  // A model that is put or removed starts anew: the old pin and labels were meant for the old
  // model.
  state_->mutable_models()->erase(change.model);
  if (change.kind == ModelChange::Kind::kRemove) {
    if (is_in_base) *removed.Add() = change.model;
    return OkStatus();
  }
  ModelConfig config;
  if (!config.ParseFromString(change.config)) return InvalidArgument("this is no ModelConfig");
  TRY(Converted(config).status());
  *added.Add() = std::move(config);
  return OkStatus();
}

Status ModelOverrides::AddToModel(const ModelChange& change,
                                  const std::vector<ConfiguredModel>& base) {
  config::ModelOverride& model = (*state_->mutable_models())[change.model];
  // First, so that `configured` below has the load mode of the configuration.
  if (change.kind == ModelChange::Kind::kLoad) model.clear_load();
  ASSIGN_OR_RETURN(const std::vector<ConfiguredModel> models, Over(base));
  const ConfiguredModel& configured = *FindModel(models, change.model);
  auto& removed_labels = *model.mutable_removed_labels();
  switch (change.kind) {
    case ModelChange::Kind::kPut:
    case ModelChange::Kind::kRemove:
      break;
    case ModelChange::Kind::kLoad:
      // The configuration itself may have the load mode NEVER, which the operator now overrides.
      if (configured.load_mode == core::LoadMode::kNever) model.set_load(config::ALWAYS);
      break;
    case ModelChange::Kind::kUnload:
      model.set_load(config::NEVER);
      break;
    case ModelChange::Kind::kLabel:
      (*model.mutable_labels())[change.label] = change.version.value;
      removed_labels.erase(std::remove(removed_labels.begin(), removed_labels.end(), change.label),
                           removed_labels.end());
      break;
    case ModelChange::Kind::kUnlabel:
      if (!configured.labels.contains(change.label)) {
        return Error(StatusCode::kNotFound, "model {} has no label '{:.200}'", change.model,
                     change.label);
      }
      model.mutable_labels()->erase(change.label);
      *removed_labels.Add() = change.label;
      break;
    case ModelChange::Kind::kPin:
      model.set_pinned_version(change.version.value);
      break;
    case ModelChange::Kind::kUnpin:
      model.clear_pinned_version();
      break;
  }
  return OkStatus();
}

bool ModelOverrides::RollBack(const ModelChange& change, const ModelOverrides& before) {
  const auto found = state_->mutable_models()->find(change.model);
  if (found == state_->mutable_models()->end()) return false;
  config::ModelOverride& model = found->second;
  const auto old_model = before.state_->models().find(change.model);
  const config::ModelOverride old =
      old_model == before.state_->models().end() ? config::ModelOverride() : old_model->second;
  if (change.kind == ModelChange::Kind::kPin) {
    // Another operator has changed the pin meanwhile. The later change counts.
    if (PinOf(change.model) != change.version) return false;
    model.clear_pinned_version();
    if (old.has_pinned_version()) model.set_pinned_version(old.pinned_version());
    return true;
  }
  const auto label = model.mutable_labels()->find(change.label);
  if (label == model.mutable_labels()->end() || label->second != change.version.value) return false;
  model.mutable_labels()->erase(label);
  if (const auto old_label = old.labels().find(change.label); old_label != old.labels().end())
    (*model.mutable_labels())[change.label] = old_label->second;
  const auto& removed = old.removed_labels();
  if (std::find(removed.begin(), removed.end(), change.label) != removed.end())
    *model.add_removed_labels() = change.label;
  return true;
}

void ModelOverrides::ForgetList() {
  state_->clear_added();
  state_->clear_removed();
  for (auto& [name, model] : *state_->mutable_models()) {
    model.clear_labels();
    model.clear_removed_labels();
  }
}

bool ModelOverrides::IsEmpty() const { return state_->ByteSizeLong() == 0; }

std::optional<core::VersionNumber> ModelOverrides::PinOf(const std::string& model) const {
  const auto found = state_->models().find(model);
  if (found == state_->models().end() || !found->second.has_pinned_version()) return std::nullopt;
  return core::VersionNumber{found->second.pinned_version()};
}

}  // namespace penstock
