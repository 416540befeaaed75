// SPDX-License-Identifier: Apache-2.0
#include "app/builtins.h"

#include <utility>

#include "app/commands.h"
#include "backends/builtin/builtin_models.h"
#include "frontends/admin/admin_frontend.h"
#include "frontends/admin/health.h"
#include "frontends/admin/model_admin.h"
#include "frontends/admin/reflection.h"
#include "frontends/tfs_grpc/tfs_grpc.h"
#include "frontends/tfs_rest/rest_frontend.h"
#include "options/component_options.h"
#include "sources/directory/directory_source.h"
#include "sources/fixed/fixed_source.h"
#include "sources/objectstore/object_store_source.h"

namespace penstock {
StatusOr<std::vector<std::unique_ptr<net::Frontend>>> MakeFrontends(const Foundations& with) {
  ASSIGN_OR_RETURN(std::vector<std::string> metrics_paths, MetricsPaths(with.settings));
  ASSIGN_OR_RETURN(core::ReadinessRule readiness, MakeReadinessRule(with.settings));
  // Front ends get a function and not the reloader, because they are on a lower level than
  // `models`.
  const ChangeFunction submit = [&reloader = with.reloader](ChangeRequest request) {
    reloader.Submit(std::move(request));
  };
  std::vector<std::unique_ptr<net::Frontend>> frontends;
  frontends.push_back(std::make_unique<tfs::TfsGrpc>(MakePredictOptions(with.settings), with.engine,
                                                     with.metrics, MakeReloadAccess(with.settings),
                                                     submit));
  frontends.push_back(std::make_unique<tfs_rest::RestFrontend>(MakeRestOptions(with.settings),
                                                               with.engine, with.metrics));
  frontends.push_back(
      std::make_unique<AdminFrontend>(AdminOptions{.metrics_paths = std::move(metrics_paths),
                                                   .version = VersionText(),
                                                   .readiness = std::move(readiness)},
                                      with.manager, with.readiness, with.metrics));
  frontends.push_back(std::make_unique<ModelAdminFrontend>(
      MakeAdminAccess(with.settings), with.manager, submit,
      [&reloader = with.reloader] { return reloader.Entries(); }));
  frontends.push_back(std::make_unique<HealthFrontend>(with.readiness));
  frontends.push_back(std::make_unique<ReflectionFrontend>());
  return frontends;
}

Sources MakeSources(const SourceDependencies& with) {
  Sources sources;
  sources.push_back(
      std::make_unique<FixedSource>("a built-in model", IsBuiltinPath, with.make_loader));
  sources.push_back(std::make_unique<ObjectStoreSource>(
      MakeObjectStoreOptions(with.settings, with.estimate_memory), with.make_loader));
  sources.push_back(
      std::make_unique<DirectorySource>(MakeDirectoryOptions(with.settings), with.make_loader));
  return sources;
}

}  // namespace penstock
