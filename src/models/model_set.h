// SPDX-License-Identifier: Apache-2.0
// Applies a list of models: gives each part of it to the manager, to the sources, to the engine's
// experiments, to the request logs and to the scheduler.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "cache/cache_settings.h"
#include "cache/disk_store.h"
#include "cells/cell_settings.h"
#include "core/version_selection.h"
#include "ensemble/graph.h"
#include "infer/engine.h"
#include "infer/experiments/experiments.h"
#include "infer/recent_requests.h"
#include "infer/run_times.h"
#include "loading/memory_history.h"
#include "loading/warm_up.h"
#include "models/model_list.h"
#include "options/component_options.h"
#include "options/settings.h"
#include "remote/allowed_targets.h"
#include "remote/loops.h"
#include "remote/settings.h"
#include "remote/version_watch.h"
#include "request_log/request_logs.h"
#include "schedule/scheduler.h"

namespace penstock {

// The parts of the server that the sources use. They outlive the sources.
struct SourceDependencies {
  const Settings& settings;
  // Makes the loader for the files of a version. Thread-safe.
  core::LoaderFactory make_loader;
  core::MemoryEstimator estimate_memory;
  core::Manager* manager = nullptr;                  // null: the sources only list versions
  remote::VersionWatches* remote_watches = nullptr;  // null: the same
};
using SourcesFactory = std::function<Sources(const SourceDependencies&)>;

// The parts of the server that a list is given to. They must outlive the ModelSet.
struct ListReceivers {
  core::Manager& manager;
  Experiments& experiments;
  RequestLogs& request_logs;
  schedule::Scheduler& scheduler;
  Engine& engine;  // runs the steps of ensembles
};

// Owns the sources, and the list of models that is in force.
//
//   ModelSet set(settings, backends, metrics, {manager, experiments, request_logs, scheduler,
//   engine},
//                make_sources);
//   TRY(set.Apply(models, "models.config"));
//   set.Start();   // from now on the sources report
//   ...
//   set.Stop();    // before the manager is destroyed
//
// Apply checks everything first, and then gives each receiver its part: the manager before the
// sources, because it ignores versions of models that it does not know. Thread-safe. `backends` and
// `metrics` must outlive it.
class ModelSet final {
 public:
  ModelSet(const Settings& settings, BackendHost& backends, MetricsRegistry& metrics,
           const ListReceivers& receivers, const SourcesFactory& make_sources);

  // Replaces the list: unloads models that are not in it, loads new ones, and keeps the others.
  // After an error nothing is changed. Does not wait for loads. Tries failed loads of the model
  // `retried` again. Messages begin with `where`. Errors:
  //   INVALID_ARGUMENT: an error of CheckModels, a model in force would change its platform, or a
  //     model has a request log although there is no directory for it;
  //   FAILED_PRECONDITION: a model would move from one source to another, the graph of a loaded
  //     ensemble would change, or the server is shutting down;
  //   the error of a source that refuses its models.
  Status Apply(const std::vector<ConfiguredModel>& models, std::string_view where,
               std::string_view retried = "") EXCLUDES(apply_mutex_, mutex_);

  // True if the model is in the list in force and has the version at its base path. For an object
  // store, the answer is that of the last scan.
  bool HasVersion(const std::string& model, core::VersionNumber version) const
      EXCLUDES(apply_mutex_, mutex_);
  // True if it is known that the base path of `model`, which may not be in force yet, has no such
  // version.
  bool LacksVersion(const ConfiguredModel& model, core::VersionNumber version) const
      EXCLUDES(apply_mutex_, mutex_);

  // Remote models use these loops of the server, too. Call it before Start.
  void UseServerLoops(remote::ServerLoops loops) { remote_loops_.UseServerLoops(std::move(loops)); }
  // The sources begin to report to the manager. Call it once.
  void Start();
  // After this returns, no source reports any more.
  void Stop();

 private:
  // The facts about a model in the list that later calls need.
  struct Entry {
    std::string base_path;
    std::string platform;
    WarmUpOptions warm_up;
    std::vector<ExampleOptions> examples;
    batch::BatchSettings batching;
    std::optional<cells::CellSettings> cell;
    cache::CacheSettings cache;
    std::vector<ensemble::Graph> ensembles;
    std::vector<RemoteVersion> remotes;
    core::VersionSelection selection;
    std::set<core::VersionNumber> labelled;
    std::shared_ptr<RecentRequests> recent;  // of the model, for the warm-up of its next version
    // The first generation with this base path, platform, version selection, ensembles, and set of
    // labelled versions.
    uint64_t same_since = 0;
  };

  // One configuration, split by receiver: manager, sources, experiments, request logs.
  struct Parts;

  Parts Divide(const std::vector<ConfiguredModel>& models, std::string_view retried) const
      REQUIRES(mutex_);
  // The models with loaded versions whose settings for Examples differ from those in force.
  std::vector<std::string> ChangedExamples(const Parts& parts) const REQUIRES(mutex_);
  Status CheckRequestLogs(const std::vector<ConfiguredModel>& models, std::string_view where) const;
  Status CheckCaches(const std::vector<ConfiguredModel>& models, std::string_view where) const;
  Status CheckRemotes(const std::vector<ConfiguredModel>& models, std::string_view where) const;
  // Returns the error with which a source would refuse its part.
  Status CheckSources(const Parts& parts, std::string_view where) REQUIRES(apply_mutex_);
  // Returns an error if a model would change its platform or move to another source.
  Status CheckMoves(const std::vector<ConfiguredModel>& models, std::string_view where) const
      REQUIRES(mutex_);
  // Returns an error if a loaded version of an ensemble would get another graph, or one of a remote
  // model other targets.
  Status CheckGraphs(const ConfiguredModel& model, const Entry& entry,
                     std::string_view where) const;
  // Returns an error if the platform of a model in force would change.
  Status CheckPlatform(const ConfiguredModel& model, const Entry& entry,
                       std::string_view where) const;
  // The platform of the backend that runs a version of the model; empty if none is available.
  std::string ServingPlatform(const std::string& model) const;
  // The name of the backend for `platform`: two names can mean the same one. `platform` itself if
  // it is not installed.
  std::string BackendName(const std::string& base_path, const std::string& platform) const;
  // The entry for a model in the list with this generation.
  // `labelled`: the versions that labels and steps of ensembles name.
  Entry EntryOf(const ConfiguredModel& model, std::set<core::VersionNumber> labelled,
                uint64_t generation) const REQUIRES(mutex_);
  WarmUpOptions WarmUpOf(const ConfiguredModel& model) const;
  // Makes the loader of a version, and wraps it: Examples, warm-up, batching. The sources call it
  // on their threads. A step that every load needs is added here.
  StatusOr<std::unique_ptr<core::Loader>> MakeLoader(const core::ServableId& id,
                                                     const std::string& path) EXCLUDES(mutex_);
  // Makes the innermost loader. Turns off in `entry` what a model of its kind cannot have.
  StatusOr<std::unique_ptr<core::Loader>> MakeBareLoader(const core::ServableId& id,
                                                         const std::string& path, Entry& entry);
  // These make the innermost loader of a version that the configuration describes.
  StatusOr<std::unique_ptr<core::Loader>> MakeEnsembleLoader(
      const core::ServableId& id, const std::vector<ensemble::Graph>& ensembles);
  StatusOr<std::unique_ptr<core::Loader>> MakeRemoteLoader(
      const core::ServableId& id, const std::vector<RemoteVersion>& remotes);

  const LoadOptions load_options_;
  const InlineOptions inline_options_;
  const std::string table_secrets_path_;
  const WarmUpOptions warm_up_options_;  // defaults; the configuration of a model may override them
  const RecentRequestsOptions recent_options_;
  const schedule::ModelLimits default_limits_;
  const BatchDefaults batch_defaults_;
  const cache::CacheSettings cache_defaults_;
  const std::string server_identity_;  // a part of the keys of cached rows
  const std::function<std::string(const std::string& platform)> runtime_of_;  // for the same
  cache::DiskStores disk_stores_;
  const remote::RemoteSettings remote_settings_;
  const remote::AllowedTargets allowed_targets_;
  remote::RemoteLoopsOwner remote_loops_;
  remote::VersionWatches remote_watches_;
  const std::shared_ptr<Allowance> recent_bytes_;  // of all models together
  BackendHost& backends_;
  MetricsRegistry& metrics_;
  core::Manager& manager_;
  Experiments& experiments_;
  RequestLogs& request_logs_;
  schedule::Scheduler& scheduler_;
  Engine& engine_;
  MemoryHistory memory_history_;
  const Sources sources_;

  mutable Mutex apply_mutex_;  // held while a list is applied; that never waits for a source
  // For the facts below. Taken after apply_mutex_, and never while a source is called.
  mutable Mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_ GUARDED_BY(mutex_);
  // The number of the list in force. Reports of the sources say which list they are for.
  uint64_t generation_ GUARDED_BY(mutex_) = 0;
};

}  // namespace penstock
