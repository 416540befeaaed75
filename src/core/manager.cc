// SPDX-License-Identifier: Apache-2.0
// How it works: one mutex guards all state. A function that changes something makes a Change, which
// holds the mutex, edits the model, and calls Advance. Advance asks the model's policy for the next
// action and starts it, until the policy wants nothing more. At the end of the Change, Flush
// decides which loads get memory, publishes a new Snapshot for requests, and hands unloads to the
// background. Only then, with the mutex free, the listeners and the waiting requests are called.
//
// Why so: one mutex is enough, because requests do not take it (lookup.h) and slow work never holds
// it. Loads, unloads and listeners run as tasks of the Background, and each task reports its result
// in a Change of its own. A version is unloaded only after the Snapshot without it is published, so
// that no request can find it any more. A ModelRecord exists at least until its last load and
// unload are over, so these tasks find it by name.
#include "core/manager.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/background_threads.h"
#include "core/request_errors.h"

namespace penstock::core {

Manager::Manager(ManagerOptions options)
    : Manager(options, [&options](SnapshotCell& lookup) {
        return std::make_unique<BackgroundThreads>(
            BackgroundOptions{
                .load_threads = std::max(options.load_threads, options.initial_load_threads),
                .unload_threads = options.unload_threads,
                .nice = options.load_nice},
            lookup);
      }) {}

Manager::Manager(ManagerOptions options, const BackgroundFactory& make_background)
    : options_(std::move(options)),
      lookup_(std::make_unique<Snapshot>()),
      meter_(options_.read_memory),
      background_(*make_background(lookup_).release()),
      removed_(options_.ended_models_max, options_.ended_models_time),
      snapshots_(options_.readiness),
      memory_(options_.ram_bytes_max),
      demands_(background_, options_.demand_waiters_max,
               {.on_deadline = [this](const std::string& model) { TimeOutWaiters(model); },
                .on_answered =
                    [this](const std::shared_ptr<int>& answering) { FinishAnswers(answering); }}),
      loads_(options_, background_, meter_, *this),
      background_owner_(&background_) {
  if (options_.initial_load_threads > 0) background_.SetLoadThreads(options_.initial_load_threads);
}

Manager::~Manager() { Stop(); }

// --- Configuration.

Status Manager::SetModels(std::vector<ModelConfig> models) {
  return Configure(std::move(models), /*is_complete_list=*/true);
}

Status Manager::SetModel(ModelConfig model) {
  std::vector<ModelConfig> models;
  models.push_back(std::move(model));
  return Configure(std::move(models), /*is_complete_list=*/false);
}

Status Manager::Configure(std::vector<ModelConfig> configs, bool is_complete_list) {
  const Change change(*this);
  TRY(CheckConfigs(configs));
  if (is_complete_list) {
    std::set<std::string_view> names;
    for (const ModelConfig& config : configs) names.insert(config.name);
    for (auto model = models_.begin(); model != models_.end();) {
      Model& current = (model++)->second;  // Remove may erase it
      if (current.is_configured && !names.contains(current.config.name)) Remove(current);
    }
  }
  for (ModelConfig& config : configs) ConfigureModel(std::move(config));
  SchedulePoll();  // once, since it loops over all models
  return OkStatus();
}

Status Manager::CheckConfigs(const std::vector<ModelConfig>& configs) const {
  if (draining_) return Error(StatusCode::kFailedPrecondition, "the server is shutting down");
  std::set<std::string_view> names;
  for (const ModelConfig& config : configs) {
    if (config.name.empty()) return InvalidArgument("a model has no name");
    if (!names.insert(config.name).second) {
      return InvalidArgument("the model \"{}\" is configured twice", config.name);
    }
  }
  return OkStatus();
}

void Manager::ConfigureModel(ModelConfig config) {
  const auto [found, is_new] =
      models_.try_emplace(config.name, config.name, new_events_, options_.load_retries_max);
  Model& model = found->second;
  removed_.Erase(config.name);
  model.source_status = OkStatus();  // of the old configuration; the source reports again
  model.incomplete.clear();
  model.has_report = false;
  // A removed model may still be here while its versions are being unloaded.
  const bool was_there = std::exchange(model.is_configured, true) && !is_new;
  if (!was_there) {
    model.is_of_start = !snapshots_.is_start_over();
    model.has_served = false;
    model.is_first_load_over = false;
  }
  model.has_found &= was_there && config.AsksForSameAs(model.config);
  const LoadMode old_mode = std::exchange(model.config, std::move(config)).load_mode;
  // Versions that are loaded, or being loaded, stay until the model is idle.
  if (model.config.load_mode == LoadMode::kOnDemand && old_mode == LoadMode::kAlways) {
    model.is_demanded = was_there && (model.versions.IsBusy() || !model.versions.Ready().empty() ||
                                      demands_.HasWaiters(model.config.name));
  }
  const bool is_wanted_again =
      old_mode == LoadMode::kNever && model.config.load_mode != LoadMode::kNever;
  if (model.config.retries_failed || is_wanted_again) model.versions.BeginFailed();
  if (model.config.load_mode == LoadMode::kNever) {
    model.is_demanded = false;
    model.versions.CancelLoads();
    demands_.Refuse(model.config.name, model.AbsentByMode());
  }
  memory_.RequestReview();  // its memory may be evictable now
  new_events_.push_back({model.config.name, std::nullopt});
  UpdateView(model);
  Advance(model);
}

Status Manager::RemoveModel(std::string_view name) {
  const Change change(*this);
  Model* model = FindConfigured(name);
  if (model == nullptr) return ModelNotFound(name);
  Remove(*model);
  return OkStatus();
}

void Manager::Remove(Model& model) {
  const std::string& name = model.config.name;
  model.is_configured = false;
  model.is_demanded = false;
  model.labels.clear();
  new_events_.push_back({name, std::nullopt});
  demands_.Refuse(name, Error(StatusCode::kUnavailable, "model {} is no longer served", name));
  model.versions.SetAspired({});
  UpdateView(model);
  Advance(model);
}

void Manager::Forget(Model& model) {
  const std::string name = model.config.name;
  model.versions.ForgetEnded(options_.ended_versions_max);
  std::vector<VersionStatus> versions = StatusesOf(model);
  models_.erase(models_.find(name));
  demands_.Forget(name);
  if (!stopped_) removed_.Add(name, std::move(versions), background_.Now());
}

void Manager::Report(std::string_view name, SourceReport report, uint64_t generation) {
  const Change change(*this);
  Model* const model = FindConfigured(name);
  // A source may report about a model that was just removed, or answer an older configuration: both
  // are normal, and no error.
  if (model == nullptr || !model->Accepts(generation)) return;
  if (report.incomplete) model->incomplete = *std::move(report.incomplete);
  if (report.status) {
    model->source_status = *std::move(report.status);
    // An error is an answer, too. Without this, requests would wait for a source that can never
    // list any version.
    if (!model->source_status.ok() && !model->IsSourceWaiting())
      model->has_report |= model->IsAnswer(generation);
    new_events_.push_back({std::string(name), std::nullopt});
  }
  const bool takes_versions = report.versions && !draining_;
  if (takes_versions) {
    model->has_report |= model->IsAnswer(generation);
    SetVersions(*model, *std::move(report.versions));
  }
  // The versions that are held depend on the status, too. Also settles the waiters.
  if (report.status || takes_versions) Advance(*model);
}

void Manager::SetVersions(Model& model, std::vector<AspiredVersion> versions) {
  for (const AspiredVersion& version : versions) {
    model.incomplete.erase(version.version);
    model.has_found |= version.role != VersionRole::kReserve;
  }
  const bool had_broken = !model.versions.Broken().empty();
  const std::vector<VersionEntry*> ready = model.versions.Ready();
  model.versions.SetAspired(std::move(versions));
  // Publish only if requests would notice: a new role changes the order of the ready versions, and
  // a broken version may not be aspired any more.
  if (had_broken || ready != model.versions.Ready()) UpdateView(model);
  // Loads may have waited because of versions that are not aspired any more.
  memory_.RequestReview();
}

ModelRecord* Manager::FindConfigured(std::string_view name) {
  const auto found = models_.find(name);
  return found != models_.end() && found->second.is_configured ? &found->second : nullptr;
}

const ModelRecord* Manager::FindConfigured(std::string_view name) const {
  const auto found = models_.find(name);
  return found != models_.end() && found->second.is_configured ? &found->second : nullptr;
}

// --- Those who use a version.

uint64_t Manager::Hold(const ServableId& id) {
  const Change change(*this);
  Model* const model = FindConfigured(id.name);
  if (model == nullptr) return 0;
  model->holds.emplace(++hold_count_, id.version);
  return hold_count_;
}

void Manager::EndHold(const std::string& name, uint64_t hold) {
  const Change change(*this);
  const auto found = models_.find(name);
  if (found == models_.end() || found->second.holds.erase(hold) == 0) return;
  Advance(found->second);
}

void Manager::Lease(const ServableId& id, Duration time) {
  const Change change(*this);
  Model* const model = FindConfigured(id.name);
  if (model == nullptr || !model->versions.IsReady(id.version)) return;
  const SteadyTime end = background_.Now() + time;
  const auto [lease, is_new] = model->leases.try_emplace(id.version);
  lease->second.end = std::max(lease->second.end, end);
  if (!is_new) return;
  lease->second.hold = ++hold_count_;
  model->holds.emplace(lease->second.hold, id.version);
  background_.RunAt(end, [this, id] { ReviewLease(id); });
}

void Manager::ReviewLease(const ServableId& id) {
  const Change change(*this);
  const auto found = models_.find(id.name);
  if (found == models_.end()) return;
  Model& model = found->second;
  const auto lease = model.leases.find(id.version);
  if (lease == model.leases.end()) return;
  if (background_.Now() < lease->second.end) {
    background_.RunAt(lease->second.end, [this, id] { ReviewLease(id); });
    return;
  }
  model.holds.erase(lease->second.hold);
  model.leases.erase(lease);
  Advance(model);
}

void Manager::NoteProblem(const ServableId& id, const Status& problem, bool can_answer) {
  const Change change(*this);
  Model* const model = FindConfigured(id.name);
  if (model == nullptr || !model->versions.NoteProblem(id.version, problem, can_answer)) return;
  UpdateView(*model);
  new_events_.push_back({id.name, std::nullopt});
}

// --- Transitions.

void Manager::Advance(Model& model) {
  // The caller may have cancelled a load that waits for memory. The review ends that load.
  memory_.RequestReviewOfWaiting();
  if (!model.is_configured) {
    UnloadAll(model);
    memory_.SetLacking(model.config.name, 0);
    if (!model.versions.IsBusy()) Forget(model);
    return;
  }
  if (!model.ShallBeLoaded()) UnloadAll(model);
  while (model.ShallBeLoaded()) {
    const auto action = model.versions.NextAction(*model.config.policy, model.Held());
    if (!action) break;
    if (action->kind == VersionAction::Kind::kUnload) {
      StartUnload(model, action->version);
    } else if (!draining_) {
      loads_.Start(model.versions.StartLoad(action->version, loads_.NextNumber()));
    } else {
      break;
    }
  }
  if (model.has_served && !model.versions.IsAnyComing()) model.is_first_load_over = true;
  model.versions.ForgetEnded(options_.ended_versions_max);
  memory_.SetLacking(model.config.name, model.ShallBeLoaded() ? model.versions.LackedBytes() : 0);
  SettleWaiters(model);
}

void Manager::UnloadAll(Model& model) {
  while (const auto version = model.versions.LowestReady()) StartUnload(model, *version);
}

void Manager::StartUnload(Model& model, VersionNumber number) {
  auto [entry, load] = model.versions.StartUnload(number);
  Release({{model.config.name, number}, std::move(entry), load});
  UpdateView(model);
}

void Manager::Release(ToUnload item) {
  memory_.BeginUnload(item.load);
  to_unload_.push_back(std::move(item));
  ++unloads_running_;
  meter_.BeginOther();
}

void Manager::Retire(const ServableId& id, uint64_t load, const Status& reason) {
  const Change change(*this);
  const auto found = models_.find(id.name);
  if (found == models_.end()) return;
  Model& model = found->second;
  // Some time has passed since the report. StartRetire returns null if that load's version does not
  // serve any more.
  std::unique_ptr<VersionEntry> entry = model.versions.StartRetire(
      id.version, load, reason.ok() ? absl::InternalError("it gave no reason") : reason,
      background_.Now(), options_.load_retry_interval_max);
  if (entry == nullptr) return;
  Release({id, std::move(entry), load});
  UpdateView(model);
  Advance(model);
}

void Manager::FinishUnload(const ServableId& id, uint64_t load, bool is_version) {
  const Change change(*this);
  memory_.EndUnload(load);
  --unloads_running_;
  meter_.EndOther();
  if (is_version) {
    // It exists: a model is not erased while one of its versions is being unloaded.
    Model& model = models_.find(id.name)->second;
    loads_.RetryLater(id, model.versions.FinishUnload(id.version));
    Advance(model);
  }
}

void Manager::UpdateView(Model& model) {
  const std::string& name = model.config.name;
  uint64_t evictable_bytes = 0;
  if (model.IsEvictable()) {
    for (const uint64_t load : model.versions.ReadyLoads())
      evictable_bytes += memory_.ReservedBy(load);
  }
  memory_.SetEvictable(name, evictable_bytes);
  if (!model.is_configured) return snapshots_.Set(name, nullptr);
  model.MoveLabels();
  snapshots_.Set(name, model.MakeView());
}

std::vector<Task> Manager::Flush() {
  while (memory_.TakeReviewRequest()) ReviewMemory();
  if (is_initial_) EndInitialLoad();
  if (std::unique_ptr<const Snapshot> next = snapshots_.Build())
    background_.FreeSnapshot(lookup_.Exchange(std::move(next)));
  // Only after the snapshot is published, so that no request can find these versions any more.
  for (ToUnload& item : std::exchange(to_unload_, {})) {
    background_.Unload(std::move(item.entry),
                       [this, id = item.id, load = item.load, is_version = item.is_version] {
                         FinishUnload(id, load, is_version);
                       });
  }
  events_.Append(std::exchange(new_events_, {}));
  return demands_.TakeCalls();
}

// --- The end.

void Manager::StartDrain() {
  const Change change(*this);
  draining_ = true;
  loads_.EndRetries();
  memory_.RequestReview();  // it ends the loads that wait for memory
  for (auto& [name, model] : models_) {
    model.versions.CancelLoads();
    model.versions.EndRetries();
    // If no version is being loaded, the waiters get their error now.
    SettleWaiters(model);
  }
}

bool Manager::Stop(SteadyTime until) {
  {
    const Change change(*this);
    draining_ = true;
    stopped_ = true;
    loads_.EndRetries();
    snapshots_.Stop();
    for (auto model = models_.begin(); model != models_.end();) {
      Model& current = (model++)->second;  // Remove may erase it
      if (current.is_configured) Remove(current);
    }
  }
  return WaitUntilIdle(until);
}

void Manager::WaitUntilUnloaded() const {
  const auto is_unloaded = [this] {
    MutexLock lock(mutex_);
    return unloads_running_ == 0;
  };
  events_.WaitFor([&] { return is_unloaded() && events_.IsQuiet(); }, kNoDeadline);
}

bool Manager::IsIdle() const {
  {
    MutexLock lock(mutex_);
    if (unloads_running_ > 0 || loads_.pending() > 0) return false;
    for (const auto& [name, model] : models_) {
      if (model.versions.IsBusy()) return false;
    }
  }
  return events_.IsQuiet();
}

bool Manager::WaitUntilIdle(SteadyTime until) const {
  return events_.WaitFor([this] { return IsIdle(); }, until);
}

}  // namespace penstock::core
