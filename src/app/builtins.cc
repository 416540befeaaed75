// SPDX-License-Identifier: Apache-2.0
#include "app/builtins.h"

#include <chrono>
#include <utility>

#include "app/version.h"
#include "backends/builtin/builtin_models.h"
#include "convert/caffe2/caffe2_files.h"
#include "frontends/admin/admin_frontend.h"
#include "frontends/admin/health.h"
#include "frontends/admin/model_admin.h"
#include "frontends/admin/reflection.h"
#include "frontends/graphpipe/graphpipe_frontend.h"
#include "frontends/tfs_grpc/tfs_grpc.h"
#include "frontends/tfs_rest/rest_frontend.h"
#include "observe/access_log.h"
#include "observe/tracer.h"
#include "options/component_options.h"
#include "options/options.h"
#include "remote/remote_source.h"
#include "sources/directory/directory_source.h"
#include "sources/ensemble/ensemble_source.h"
#include "sources/fixed/fixed_source.h"
#include "sources/objectstore/object_store_source.h"

namespace penstock {

namespace {

// Null: versions are not kept for other servers.
tfs::LeaseFunction LeaseOf(const Settings& settings, core::Manager& manager) {
  if (settings.version_lease_ms == 0) return nullptr;
  return [&manager, time = std::chrono::milliseconds(settings.version_lease_ms)](
             const core::ServableId& id) { manager.Lease(id, time); };
}

}  // namespace

const OptionTable& AllOptions() {
  static const OptionTable options =
      JoinOptions({DirectoryOptionRows(), ObjectStoreOptionRows(), tfs::PredictOptionRows(),
                   graphpipe::GraphPipeOptionRows(), AccessLogOptionRows(), TraceOptionRows()});
  return options;
}

StatusOr<std::vector<std::unique_ptr<net::Frontend>>> MakeFrontends(
    const FrontendDependencies& with) {
  const auto& settings = with.options.Get<Settings>();
  ASSIGN_OR_RETURN(std::vector<std::string> metrics_paths, MetricsPaths(settings));
  ASSIGN_OR_RETURN(core::ReadinessRule readiness, MakeReadinessRule(settings));
  // Front ends get a function and not the reloader, because they are on a lower level than
  // `models`.
  const ChangeFunction submit = [&reloader = with.reloader](ChangeRequest request) {
    reloader.Submit(std::move(request));
  };
  auto graphpipe = with.options.Get<graphpipe::GraphPipeOptions>();
  graphpipe.server_version = VersionText();
  if (settings.graphpipe_port != 0) graphpipe.own_paths = kGraphPipePaths;
  std::vector<std::unique_ptr<net::Frontend>> frontends;
  frontends.push_back(std::make_unique<tfs::TfsGrpc>(
      with.options.Get<tfs::PredictOptions>(), with.engine, with.metrics,
      tfs::ReloadAccessOf(settings.reload_rpc, StandsInForTfs(settings), HasAdminPort(settings)),
      submit, &with.request_logs, LeaseOf(settings, with.manager)));
  frontends.push_back(std::make_unique<tfs_rest::RestFrontend>(
      tfs_rest::RestOptions{.decoder = settings.json,
                            .write = with.options.Get<tfs::PredictOptions>().write},
      with.engine, with.metrics, &with.request_logs));
  frontends.push_back(std::make_unique<graphpipe::GraphPipeFrontend>(
      std::move(graphpipe), with.engine, with.readiness, with.metrics, &with.request_logs));
  frontends.push_back(
      std::make_unique<AdminFrontend>(AdminOptions{.metrics_paths = std::move(metrics_paths),
                                                   .version = VersionText(),
                                                   .readiness = std::move(readiness),
                                                   .has_admin_port = HasAdminPort(settings)},
                                      with.manager, with.readiness, with.metrics));
  frontends.push_back(std::make_unique<ModelAdminFrontend>(
      AdminAccessOf(settings.admin_api), HasAdminPort(settings), with.manager, with.scheduler,
      submit, [&reloader = with.reloader] { return reloader.Entries(); }));
  frontends.push_back(std::make_unique<HealthFrontend>(with.readiness));
  frontends.push_back(std::make_unique<ReflectionFrontend>());
  return frontends;
}

Sources MakeSources(const OptionValues& options, const SourceDependencies& with) {
  const Duration settle_time = std::chrono::milliseconds(with.settings.version_settle_ms);
  const bool keeps_last_versions = with.settings.servable_versions_always_present;
  auto stores = options.Get<ObjectStoreSourceOptions>();
  stores.settle_time = settle_time;
  stores.keeps_last_versions = keeps_last_versions;
  stores.estimate = with.estimate_memory;
  auto folders = options.Get<DirectorySourceOptions>();
  folders.settling.settle_time = settle_time;
  folders.keeps_last_versions = keeps_last_versions;
  Sources sources;
  sources.push_back(
      std::make_unique<FixedSource>("a built-in model", IsBuiltinPath, with.make_loader));
  sources.push_back(std::make_unique<EnsembleSource>(with.manager, with.make_loader));
  sources.push_back(std::make_unique<remote::RemoteSource>(with.remote_watches, with.make_loader));
  sources.push_back(std::make_unique<ObjectStoreSource>(std::move(stores), with.make_loader));
  sources.push_back(std::make_unique<DirectorySource>(folders, with.make_loader));
  return sources;
}

std::vector<ModelImporter> MakeImporters() {
  return {{.platform = "caffe2",
           .patterns = {"predict_net.pb"},
           .backend = "onnxruntime",
           .import = [](const std::string& version_path) {
             return convert::ImportCaffe2(convert::Caffe2FilesIn(version_path));
           }}};
}

}  // namespace penstock
