// SPDX-License-Identifier: Apache-2.0
// A list of models has five receivers: the manager, the sources, the experiments, the request logs
// and the scheduler. None of them can take back what it was given. So Apply first asks everybody
// who could refuse, and then gives each its part; from SetModels on nothing may fail.
//
// Each list has a number, its generation. Sources work on their own threads, so a report may arrive
// that still answers an older list. The generation tells. A model that does not change keeps the
// generation since which it is the same (`same_since`), so reports about it stay valid.
#include "models/model_set.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "backends/builtin/builtin_folder.h"
#include "backends/builtin/builtin_models.h"
#include "base/check.h"
#include "base/log.h"
#include "config/ensemble_config.h"
#include "ensemble/ensemble_loader.h"
#include "infer/served_model.h"
#include "loading/batch_loader.h"
#include "loading/cache_loader.h"
#include "loading/cell_loader.h"
#include "loading/example_loader.h"
#include "loading/model_loader.h"
#include "loading/version_identity.h"
#include "loading/warm_up_loader.h"
#include "models/ensemble_list.h"
#include "options/component_options.h"
#include "remote/remote_loader.h"
#include "remote/shards/shard_loader.h"
#include "tables/table_loader.h"

namespace penstock {
namespace {

// What the answers of all models depend on, for the keys of cached rows.
std::string IdentityOf(const Settings& settings, const LoadOptions& load) {
  BackendOptions all = load.options;
  for (const auto& [backend, options] : MakeBackendOptions(settings).options)
    for (const auto& [name, value] : options) all.emplace_back(backend + '.' + name, value);
  return ServerIdentity(all);
}

}  // namespace

ModelSet::ModelSet(const Settings& settings, BackendHost& backends, MetricsRegistry& metrics,
                   const ListReceivers& receivers, const SourcesFactory& make_sources)
    : load_options_(MakeLoadOptions(settings)),
      inline_options_(settings.inline_runs),
      table_secrets_path_(settings.table_secrets_path),
      warm_up_options_(MakeWarmUpOptions(settings)),
      recent_options_(settings.recent_requests),
      default_limits_(MakeSchedulerOptions(settings).model),
      batch_defaults_(MakeBatchDefaults(settings)),
      cache_defaults_(settings.row_cache),
      server_identity_(IdentityOf(settings, load_options_)),
      runtime_of_(
          [&backends](const std::string& platform) { return backends.RuntimeOf(platform); }),
      disk_stores_(metrics),
      remote_settings_(settings.remote),
      allowed_targets_(remote_settings_.targets),
      remote_loops_(remote_settings_.loops, remote_settings_.connect_timeout),
      remote_watches_(remote_settings_, remote_loops_),
      recent_bytes_(std::make_shared<Allowance>(recent_options_.total_bytes_max)),
      backends_(backends),
      metrics_(metrics),
      manager_(receivers.manager),
      experiments_(receivers.experiments),
      request_logs_(receivers.request_logs),
      scheduler_(receivers.scheduler),
      engine_(receivers.engine),
      sources_(make_sources(SourceDependencies{
          .settings = settings,
          .make_loader = [this](const core::ServableId& id,
                                const std::string& path) { return MakeLoader(id, path); },
          .estimate_memory =
              [this](const std::string& model, uint64_t estimated_bytes) {
                return memory_history_.Estimate(model, /*backend=*/"", estimated_bytes);
              },
          .manager = &manager_,
          .remote_watches = &remote_watches_})) {}

struct ModelSet::Parts {
  std::vector<core::ModelConfig> configs;
  std::vector<std::vector<core::SourceModel>> models;  // one list for each source
  std::map<std::string, Entry, std::less<>> entries;
  ExperimentList experiments;
  RequestLogList request_logs;
  std::map<std::string, schedule::ModelLimits, std::less<>> limits;
  std::set<std::string> names;
  std::map<std::string, RemoteVersion> followed;  // remote models with the versions of the targets
};

Status ModelSet::Apply(const std::vector<ConfiguredModel>& models, std::string_view where,
                       std::string_view retried) {
  TRY(CheckModels(models, where, sources_, backends_));
  TRY(CheckRequestLogs(models, where));
  TRY(CheckCaches(models, where));
  TRY(CheckRemotes(models, where));
  MutexLock applying(apply_mutex_);
  Parts parts;
  std::vector<std::string> changed_examples;
  {
    MutexLock lock(mutex_);
    TRY(CheckMoves(models, where));
    parts = Divide(models, retried);
    changed_examples = ChangedExamples(parts);
  }
  TRY(CheckSources(parts, where));
  // The manager comes first, because it ignores versions of models that it does not know.
  TRY(manager_.SetModels(std::move(parts.configs)));
  {
    MutexLock lock(mutex_);
    ++generation_;
    entries_ = std::move(parts.entries);
  }
  // Before its source asks for them.
  remote_watches_.Set(parts.followed);
  experiments_.Set(parts.experiments);
  request_logs_.Set(parts.request_logs);
  scheduler_.SetModels(std::move(parts.limits));
  memory_history_.KeepOnly(parts.names);
  // Without mutex_: a source may make loaders before SetModels returns.
  for (size_t i = 0; i < sources_.size(); ++i) {
    PENSTOCK_CHECK(sources_[i]->SetModels(std::move(parts.models[i])).ok(),
                   "a source refuses a list that it has checked");
  }
  for (const std::string& model : changed_examples) {
    PENSTOCK_LOG(kWarning,
                 "{}: the new classify and regress of model {} are for versions that are loaded "
                 "from now on; the loaded ones keep the former",
                 where, model);
  }
  return OkStatus();
}

std::vector<std::string> ModelSet::ChangedExamples(const Parts& parts) const {
  std::vector<std::string> changed;
  for (const auto& [model, entry] : parts.entries) {
    const auto old = entries_.find(model);
    // Other files are loaded anew.
    if (old == entries_.end() || old->second.base_path != entry.base_path ||
        old->second.examples == entry.examples)
      continue;
    const auto versions = manager_.VersionStatuses(model);
    if (std::ranges::any_of(versions, [](const core::VersionStatus& version) {
          return version.state == core::VersionState::kAvailable;
        }))
      changed.push_back(model);
  }
  return changed;
}

ModelSet::Parts ModelSet::Divide(const std::vector<ConfiguredModel>& models,
                                 std::string_view retried) const {
  const uint64_t generation = generation_ + 1;
  Parts parts;
  parts.models.resize(sources_.size());
  const auto versions_of_steps = VersionsOfSteps(models);
  for (const ConfiguredModel& model : models) {
    core::ModelConfig& config = parts.configs.emplace_back(ManagerConfig(model));
    config.generation = generation;
    config.retries_failed = model.name == retried;
    core::SourceModel source_model = SourceConfig(model);
    if (const auto found = versions_of_steps.find(model.name); found != versions_of_steps.end())
      source_model.labelled.insert(found->second.begin(), found->second.end());
    Entry entry = EntryOf(model, source_model.labelled, generation);
    config.same_since = entry.same_since;
    parts.entries.emplace(model.name, std::move(entry));
    parts.experiments.emplace(model.name, model.experiment);
    if (model.request_log) parts.request_logs.emplace(model.name, *model.request_log);
    parts.limits.emplace(model.name, LimitsOf(model.scheduling, default_limits_));
    parts.names.insert(model.name);
    if (IsFollowed(model.remotes)) parts.followed.emplace(model.name, model.remotes.front());
    const auto source = std::ranges::find_if(
        sources_, [&](const auto& each) { return each->Matches(model.base_path); });
    source_model.generation = generation;
    parts.models[static_cast<size_t>(source - sources_.begin())].push_back(std::move(source_model));
  }
  return parts;
}

// A list may come from a client, which must not choose where the server writes files.
Status ModelSet::CheckRequestLogs(const std::vector<ConfiguredModel>& models,
                                  std::string_view where) const {
  if (request_logs_.has_directory()) return OkStatus();
  for (const ConfiguredModel& model : models) {
    if (!model.request_log) continue;
    return InvalidArgument(
        "{}: model '{}' has a logging_config, but the server has no directory for logs: start it "
        "with --request_log_directory",
        where, model.name);
  }
  return OkStatus();
}

Status ModelSet::CheckCaches(const std::vector<ConfiguredModel>& models,
                             std::string_view where) const {
  if (!cache_defaults_.folder.empty()) return OkStatus();
  for (const ConfiguredModel& model : models) {
    if (model.cache.disk_bytes.value_or(0) == 0 && model.cache.path.empty()) continue;
    return InvalidArgument(
        "{}: model '{}' has a cache on disk, but the server has no directory for it: start it with "
        "--row_cache_directory",
        where, model.name);
  }
  return OkStatus();
}

Status ModelSet::CheckRemotes(const std::vector<ConfiguredModel>& models,
                              std::string_view where) const {
  for (const ConfiguredModel& model : models) {
    for (const RemoteVersion& remote : model.remotes) {
      for (const RemoteTarget& target : remote.targets) {
        const Status status = allowed_targets_.Check(target);
        if (!status.ok())
          return Error(status.code(), "{}: model '{}': {}", where, model.name, MessageOf(status));
      }
    }
  }
  return OkStatus();
}

Status ModelSet::CheckSources(const Parts& parts, std::string_view where) {
  for (size_t i = 0; i < sources_.size(); ++i) {
    const Status status = sources_[i]->Check(parts.models[i]);
    if (!status.ok()) return Error(status.code(), "{}: {}", where, MessageOf(status));
  }
  return OkStatus();
}

Status ModelSet::CheckMoves(const std::vector<ConfiguredModel>& models,
                            std::string_view where) const {
  for (const ConfiguredModel& model : models) {
    const auto found = entries_.find(model.name);
    if (found == entries_.end()) continue;
    const Entry& entry = found->second;
    TRY(CheckPlatform(model, entry, where));
    TRY(CheckGraphs(model, entry, where));
    const core::ModelSource* const from = FindSource(sources_, entry.base_path);
    const core::ModelSource* const to = FindSource(sources_, model.base_path);
    if (from != to) {
      return Error(StatusCode::kFailedPrecondition,
                   "{}: model '{}' cannot move between {} and {}: remove it first", where,
                   model.name, from->kind(), to->kind());
    }
  }
  return OkStatus();
}

Status ModelSet::CheckGraphs(const ConfiguredModel& model, const Entry& entry,
                             std::string_view where) const {
  const bool is_followed = IsFollowed(entry.remotes) || IsFollowed(model.remotes);
  const bool has_same_connections =
      IsFollowed(entry.remotes) && IsFollowed(model.remotes) &&
      HaveSameConnections(entry.remotes.front(), model.remotes.front());
  for (const core::VersionStatus& known : manager_.VersionStatuses(model.name)) {
    using core::VersionState;
    if (known.state != VersionState::kAvailable && known.state != VersionState::kLoading) continue;
    if (is_followed && !has_same_connections)
      return Error(StatusCode::kFailedPrecondition,
                   "{}: model '{}': of its remote, which has the versions of its targets and is "
                   "loaded, only "
                   "the targets and min_replicas can change; remove the model first",
                   where, model.name);
    if (is_followed) continue;
    const core::VersionNumber version = known.id.version;
    const auto former = std::ranges::find(entry.remotes, version, &RemoteVersion::version);
    const auto remote = std::ranges::find(model.remotes, version, &RemoteVersion::version);
    if (former != entry.remotes.end() && remote != model.remotes.end() && *former != *remote)
      return Error(
          StatusCode::kFailedPrecondition,
          "{}: model '{}': its remote version {}, which is loaded, cannot change; give the new one "
          "a version of its own, as remote {{ version: {} ... }}",
          where, model.name, version.value, version.value + 1);
    const auto before = std::ranges::find(entry.ensembles, version, &ensemble::Graph::version);
    const auto now = std::ranges::find(model.ensembles, version, &ensemble::Graph::version);
    if (before == entry.ensembles.end() || now == model.ensembles.end() || *before == *now)
      continue;
    return Error(
        StatusCode::kFailedPrecondition,
        "{}: model '{}': the graph of its version {}, which is loaded, cannot change; give "
        "the new one a version of its own, as ensemble {{ version: {} ... }}",
        where, model.name, version.value, version.value + 1);
  }
  return OkStatus();
}

Status ModelSet::CheckPlatform(const ConfiguredModel& model, const Entry& entry,
                               std::string_view where) const {
  // Without a platform, the files of each version decide. So a list that leaves the platform out,
  // and one that names the backend that runs the model, mean the same.
  if (model.platform.empty() || model.platform == entry.platform) return OkStatus();
  const std::string old = entry.platform.empty() ? ServingPlatform(model.name) : entry.platform;
  if (old.empty() ||
      BackendName(model.base_path, old) == BackendName(model.base_path, model.platform))
    return OkStatus();
  return InvalidArgument(
      "{}: model '{}' has the platform '{}', which cannot become '{}': remove the model first",
      where, model.name, old, model.platform);
}

std::string ModelSet::ServingPlatform(const std::string& model) const {
  for (const core::VersionStatus& known : manager_.VersionStatuses(model)) {
    if (known.state != core::VersionState::kAvailable) continue;
    const auto handle = manager_.GetHandle(model, known.id.version);
    if (handle.ok()) return Served(*handle).info().platform;
  }
  return "";
}

std::string ModelSet::BackendName(const std::string& base_path, const std::string& platform) const {
  LoadOptions options;
  options.platform = platform;
  return backends_.BackendFor(base_path, options).value_or(platform);
}

ModelSet::Entry ModelSet::EntryOf(const ConfiguredModel& model,
                                  std::set<core::VersionNumber> labelled,
                                  uint64_t generation) const {
  Entry entry{model.base_path,
              model.platform,
              WarmUpOf(model),
              model.examples,
              SettingsOf(model.batching, batch_defaults_.settings),
              model.batching.cell,
              SettingsOf(model.cache, model.name, cache_defaults_),
              model.ensembles,
              model.remotes,
              SelectionOf(model),
              std::move(labelled),
              nullptr,
              generation};
  const auto found = entries_.find(model.name);
  const Entry* const old = found == entries_.end() ? nullptr : &found->second;
  const bool has_same_files =
      old != nullptr && old->base_path == entry.base_path && old->platform == entry.platform;
  if (has_same_files) {
    entry.recent = old->recent;
  } else if (recent_options_.requests_max > 0) {
    entry.recent = std::make_shared<RecentRequests>(recent_options_, recent_bytes_);
  }
  if (has_same_files && old->selection == entry.selection && old->labelled == entry.labelled &&
      old->ensembles == entry.ensembles && old->remotes == entry.remotes)
    entry.same_since = old->same_since;
  return entry;
}

WarmUpOptions ModelSet::WarmUpOf(const ConfiguredModel& model) const {
  WarmUpOptions options = warm_up_options_;
  options.enabled = model.warm_up_enabled.value_or(options.enabled);
  if (model.warm_up_iterations > 0) options.iterations = static_cast<int>(model.warm_up_iterations);
  return options;
}

StatusOr<std::unique_ptr<core::Loader>> ModelSet::MakeEnsembleLoader(
    const core::ServableId& id, const std::vector<ensemble::Graph>& ensembles) {
  const auto graph = std::ranges::find(ensembles, id.version, &ensemble::Graph::version);
  if (graph == ensembles.end())
    return Error(StatusCode::kNotFound, "the configuration has no ensemble of this version");
  return std::make_unique<ensemble::EnsembleLoader>(id, *graph, manager_, engine_, metrics_,
                                                    inline_options_);
}

StatusOr<std::unique_ptr<core::Loader>> ModelSet::MakeRemoteLoader(
    const core::ServableId& id, const std::vector<RemoteVersion>& remotes) {
  if (IsFollowed(remotes)) {
    std::shared_ptr<remote::VersionWatch> watch = remote_watches_.Find(id.name);
    if (watch == nullptr) return Error(StatusCode::kNotFound, "the model was removed");
    if (!remotes.front().shards.empty())
      return std::make_unique<remote::ShardLoader>(id, remotes.front(), remote_settings_,
                                                   remote_loops_, engine_, metrics_,
                                                   inline_options_, std::move(watch));
    return std::make_unique<remote::RemoteLoader>(id, remotes.front(), remote_settings_,
                                                  remote_loops_, engine_, metrics_, inline_options_,
                                                  std::move(watch));
  }
  const auto remote = std::ranges::find(remotes, id.version, &RemoteVersion::version);
  if (remote == remotes.end())
    return Error(StatusCode::kNotFound, "the configuration has no remote of this version");
  if (!remote->shards.empty())
    return std::make_unique<remote::ShardLoader>(id, *remote, remote_settings_, remote_loops_,
                                                 engine_, metrics_, inline_options_);
  return std::make_unique<remote::RemoteLoader>(id, *remote, remote_settings_, remote_loops_,
                                                engine_, metrics_, inline_options_);
}

StatusOr<std::unique_ptr<core::Loader>> ModelSet::MakeBareLoader(const core::ServableId& id,
                                                                 const std::string& path,
                                                                 Entry& entry) {
  if (path == kEnsemblePath || path == kRemotePath) {
    // Their steps and targets are warm, and batch, by themselves.
    entry.warm_up.enabled = false;
    entry.batching.mode = batch::BatchMode::kOff;
    return path == kRemotePath ? MakeRemoteLoader(id, entry.remotes)
                               : MakeEnsembleLoader(id, entry.ensembles);
  }
  if (IsBuiltinPath(path)) return MakeBuiltinLoader(id, path, metrics_, inline_options_);
  if (IsBuiltinFolder(path)) return MakeBuiltinFolderLoader(id, path, metrics_, inline_options_);
  if (tables::IsTableFolder(path)) {
    // The cost of a row does not depend on the rows beside it.
    entry.batching.mode = batch::BatchMode::kOff;
    return std::make_unique<tables::TableLoader>(id, path, engine_, metrics_, inline_options_,
                                                 table_secrets_path_);
  }
  LoadOptions options = load_options_;
  options.model_name = id.name;
  options.platform = entry.platform;
  return std::make_unique<HostedLoader>(id, path, std::move(options), backends_, metrics_,
                                        memory_history_, inline_options_);
}

StatusOr<std::unique_ptr<core::Loader>> ModelSet::MakeLoader(const core::ServableId& id,
                                                             const std::string& path) {
  // Called on the threads of the sources, or by Apply, once for every version that is wanted.
  Entry entry;
  entry.platform = load_options_.platform;
  entry.warm_up = warm_up_options_;
  {
    MutexLock lock(mutex_);
    const auto found = entries_.find(id.name);
    if (found != entries_.end()) entry = found->second;
  }
  ASSIGN_OR_RETURN(std::unique_ptr<core::Loader> loader, MakeBareLoader(id, path, entry));
  if (entry.cell) {
    entry.cell->rows_max = entry.batching.rows_max;
    loader = std::make_unique<CellLoader>(id, *std::move(entry.cell), std::move(loader), engine_,
                                          metrics_);
    // Its steps are batched.
    entry.batching.mode = batch::BatchMode::kOff;
  }
  if (!entry.examples.empty()) {
    loader = std::make_unique<ExampleLoader>(path, std::move(entry.examples), std::move(loader));
  }
  // A built-in path has no folder, and so no recorded requests.
  if (entry.warm_up.enabled && !IsBuiltinPath(path)) {
    loader = std::make_unique<WarmUpLoader>(id, path, std::move(entry.warm_up), entry.recent,
                                            std::move(loader), metrics_);
  }
  if (entry.batching.mode != batch::BatchMode::kOff) {
    // Its check needs a model that is warm.
    BatchLoaderOptions batch_options{
        .id = id, .settings = entry.batching, .runs = batch_defaults_.runs, .recent = entry.recent};
    if (batch_defaults_.per_version) batch_options.parameters_folder = path;
    loader = std::make_unique<BatchLoader>(std::move(batch_options), std::move(loader), metrics_);
  }
  if (!entry.cache.enabled) return loader;
  // Outermost: what may be batched may be cached.
  return std::make_unique<CacheLoader>(
      CacheLoaderOptions{id, path, std::move(entry.cache), server_identity_, runtime_of_,
                         std::move(entry.recent)},
      std::move(loader), disk_stores_, metrics_);
}

bool ModelSet::HasVersion(const std::string& model, core::VersionNumber version) const {
  std::string base_path;
  {
    // A list that is being applied counts when its sources know it.
    MutexLock applying(apply_mutex_);
    MutexLock lock(mutex_);
    const auto entry = entries_.find(model);
    if (entry == entries_.end()) return false;
    base_path = entry->second.base_path;
  }
  // Without the lock: the source may have to read a folder of a slow file system.
  return FindSource(sources_, base_path)->HasVersion(model, base_path, version).value_or(false);
}

bool ModelSet::LacksVersion(const ConfiguredModel& model, core::VersionNumber version) const {
  for (const core::VersionStatus& known : manager_.VersionStatuses(model.name)) {
    // The manager knows the version, so it exists, whatever the source can tell now.
    if (known.id.version == version && known.is_aspired) return false;
  }
  // The list itself has the versions, and its source may not know the list yet.
  if (!model.ensembles.empty())
    return std::ranges::find(model.ensembles, version, &ensemble::Graph::version) ==
           model.ensembles.end();
  if (!model.remotes.empty() && !IsFollowed(model.remotes))
    return std::ranges::find(model.remotes, version, &RemoteVersion::version) ==
           model.remotes.end();
  const core::ModelSource* const source = FindSource(sources_, model.base_path);
  return source != nullptr &&
         !source->HasVersion(model.name, model.base_path, version).value_or(true);
}

void ModelSet::Start() {
  for (const auto& source : sources_) source->Start(manager_);
}

void ModelSet::Stop() {
  for (const auto& source : sources_) source->Stop();
}

}  // namespace penstock
