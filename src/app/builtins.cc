// SPDX-License-Identifier: Apache-2.0
#include "app/builtins.h"

#include <utility>

#include "app/commands.h"
#include "app/component_options.h"
#include "app/model_loader.h"
#include "frontends/admin/admin_frontend.h"
#include "frontends/admin/health.h"
#include "frontends/admin/reflection.h"
#include "frontends/tfs_grpc/tfs_grpc.h"
#include "frontends/tfs_rest/rest_frontend.h"
#include "infer/builtin_folder.h"
#include "infer/builtin_models.h"
#include "sources/directory/directory_source.h"
#include "sources/fixed/fixed_source.h"

namespace penstock {
namespace {

// The built-in models, each with its only version.
std::unique_ptr<core::Source> MakeBuiltinSource(const Foundations& with,
                                                const std::vector<ConfiguredModel>& models) {
  const InlineOptions inline_options = MakeInlineOptions(with.settings);
  std::vector<FixedVersion> versions;
  for (const ConfiguredModel& model : models) {
    if (!IsBuiltinPath(model.base_path)) continue;
    const core::ServableId id{model.name, {1}};
    versions.push_back({id, [id, path = model.base_path, &metrics = with.metrics, inline_options] {
                          return MakeBuiltinLoader(id, path, metrics, inline_options);
                        }});
  }
  return std::make_unique<FixedSource>(std::move(versions));
}

// The models in folders.
StatusOr<std::unique_ptr<core::Source>> MakeDirectorySource(
    const Foundations& with, const std::vector<ConfiguredModel>& models) {
  std::vector<DirectoryModel> directories;
  std::map<std::string, std::string> platforms;
  for (const ConfiguredModel& model : models) {
    if (IsBuiltinPath(model.base_path)) continue;
    directories.push_back(DirectoryConfig(model));
    platforms[model.name] = model.platform;
  }
  auto source = std::make_unique<DirectorySource>(
      MakeDirectoryOptions(with.settings),
      [platforms = std::move(platforms), base_options = MakeLoadOptions(with.settings),
       &host = with.backends, &metrics = with.metrics,
       inline_options = MakeInlineOptions(with.settings)](
          const core::ServableId& id,
          const std::string& path) -> StatusOr<std::unique_ptr<core::Loader>> {
        if (IsBuiltinFolder(path))
          return MakeBuiltinFolderLoader(id, path, metrics, inline_options);
        const auto platform = platforms.find(id.name);
        LoadOptions options = base_options;
        options.model_name = id.name;
        if (platform != platforms.end()) options.platform = platform->second;
        return std::make_unique<HostedLoader>(id, path, std::move(options), host, metrics,
                                              inline_options);
      });
  TRY(source->SetModels(std::move(directories)));
  return source;
}

}  // namespace

StatusOr<std::vector<std::unique_ptr<Frontend>>> MakeFrontends(const Foundations& with) {
  ASSIGN_OR_RETURN(std::vector<std::string> metrics_paths, MetricsPaths(with.settings));
  std::vector<std::unique_ptr<Frontend>> frontends;
  frontends.push_back(
      std::make_unique<tfs::TfsGrpc>(MakePredictOptions(with.settings), with.engine, with.metrics));
  frontends.push_back(std::make_unique<tfs_rest::RestFrontend>(MakeRestOptions(with.settings),
                                                               with.engine, with.metrics));
  frontends.push_back(std::make_unique<AdminFrontend>(
      AdminOptions{.metrics_paths = std::move(metrics_paths), .version = VersionText()},
      with.manager, with.readiness, with.metrics));
  frontends.push_back(std::make_unique<HealthFrontend>(with.readiness));
  frontends.push_back(std::make_unique<ReflectionFrontend>());
  return frontends;
}

StatusOr<std::vector<std::unique_ptr<core::Source>>> MakeSources(
    const Foundations& with, const std::vector<ConfiguredModel>& models) {
  std::vector<std::unique_ptr<core::Source>> sources;
  sources.push_back(MakeBuiltinSource(with, models));
  ASSIGN_OR_RETURN(std::unique_ptr<core::Source> directories, MakeDirectorySource(with, models));
  sources.push_back(std::move(directories));
  return sources;
}

}  // namespace penstock
