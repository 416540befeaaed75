// SPDX-License-Identifier: Apache-2.0
#include "core/manager_impl.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace penstock::core {
namespace {

Status ModelNotFound(std::string_view name) {
  return Error(StatusCode::kNotFound, "there is no model called \"{}\"", name);
}

// The error for a request to a model that has no version ready because of its load mode; OK for
// kAlways.
Status AbsentByMode(const ModelConfig& config) {
  switch (config.load_mode) {
    case LoadMode::kAlways:
      break;
    case LoadMode::kOnDemand:
      return Error(StatusCode::kUnavailable,
                   "model {} is loaded on demand and is not loaded yet: try again later",
                   config.name);
    case LoadMode::kNever:
      return Error(StatusCode::kUnavailable,
                   "model {} has been unloaded by an operator, or its configuration names no "
                   "version: it is not served until that changes",
                   config.name);
  }
  return OkStatus();
}

}  // namespace

Status ServableNotFound(std::string_view name, std::optional<VersionNumber> version) {
  if (!version) {
    return Error(StatusCode::kNotFound, "Servable not found for request: Latest({})", name);
  }
  return Error(StatusCode::kNotFound, "Servable not found for request: Specific({}, {})", name,
               version->value);
}

Manager::Impl::Impl(ManagerOptions options, const BackgroundFactory& make_background)
    : options_(std::move(options)),
      meter_(options_.read_memory),
      memory_(options_.ram_bytes_max),
      background_(make_background(lookup_)) {
  if (options_.initial_load_threads > 0) background_->SetLoadThreads(options_.initial_load_threads);
}

// --- Configuration.

Status Manager::Impl::SetModels(std::vector<ModelConfig> configs, bool is_complete_list) {
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
  for (ModelConfig& config : configs) Configure(std::move(config));
  StartLookingAtUse();  // once, since it loops over all models
  return OkStatus();
}

Status Manager::Impl::CheckConfigs(const std::vector<ModelConfig>& configs) const {
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

void Manager::Impl::Configure(ModelConfig config) {
  const auto [found, is_new] =
      models_.try_emplace(config.name, config.name, new_events_, options_.load_retries_max);
  Model& model = found->second;
  removed_.erase(config.name);
  model.source_status = OkStatus();  // of the old configuration; the source reports again
  model.has_report = false;
  // A removed model may still be here while its versions are being unloaded.
  const bool was_there = std::exchange(model.is_configured, true) && !is_new;
  if (!was_there) {
    model.is_of_start = !is_start_over_;
    model.has_served = false;
    model.is_first_load_over = false;
  }
  const LoadMode old_mode = std::exchange(model.config, std::move(config)).load_mode;
  // Versions that are loaded, or being loaded, stay until the model is idle.
  if (model.config.load_mode == LoadMode::kOnDemand && old_mode == LoadMode::kAlways) {
    model.is_demanded = was_there && (model.versions.IsBusy() || !model.versions.Ready().empty() ||
                                      !model.waiters.empty());
  }
  const bool is_wanted_again =
      old_mode == LoadMode::kNever && model.config.load_mode != LoadMode::kNever;
  if (model.config.retries_failed || is_wanted_again) model.versions.BeginFailed();
  if (model.config.load_mode == LoadMode::kNever) {
    model.is_demanded = false;
    model.versions.CancelLoads();
    RefuseWaiters(model, AbsentByMode(model.config));
  }
  review_memory_ = true;  // its memory may be evictable now
  new_events_.push_back({model.config.name, std::nullopt});
  UpdateLookup(model);
  Advance(model);
}

Status Manager::Impl::RemoveModel(std::string_view name) {
  const Change change(*this);
  Model* model = FindConfigured(name);
  if (model == nullptr) return ModelNotFound(name);
  Remove(*model);
  return OkStatus();
}

void Manager::Impl::Remove(Model& model) {
  model.is_configured = false;
  model.is_demanded = false;
  model.labels.clear();
  new_events_.push_back({model.config.name, std::nullopt});
  RefuseWaiters(model,
                Error(StatusCode::kUnavailable, "model {} is no longer served", model.config.name));
  model.versions.SetAspired({});
  UpdateLookup(model);
  Advance(model);
}

void Manager::Impl::Forget(Model& model) {
  const std::string name = model.config.name;
  model.versions.ForgetEnded(options_.ended_versions_max);
  std::vector<VersionStatus> versions = StatusesOf(model);
  models_.erase(models_.find(name));
  if (stopped_ || versions.empty() || options_.ended_models_max == 0) return;
  // The list is full: drop the model that was removed first.
  if (removed_.size() >= options_.ended_models_max) {
    removed_.erase(std::min_element(removed_.begin(), removed_.end(), [](auto& a, auto& b) {
      return a.second.since < b.second.since;
    }));
  }
  removed_.insert_or_assign(name, RemovedModel{std::move(versions), background_->Now()});
}

void Manager::Impl::SetAspired(std::string_view name, std::vector<AspiredVersion> versions,
                               uint64_t generation) {
  const Change change(*this);
  Model* model = FindToldOf(name, generation);
  if (model == nullptr || draining_) return;
  model->has_report |= IsAnswer(*model, generation);
  const bool had_broken = !model->versions.Broken().empty();
  const std::vector<VersionEntry*> ready = model->versions.Ready();
  model->versions.SetAspired(std::move(versions));
  // Publish only if requests would notice: a new role changes the order of the ready versions, and
  // a broken version may not be aspired any more.
  if (had_broken || ready != model->versions.Ready()) UpdateLookup(*model);
  review_memory_ = true;  // loads may have waited because of versions that are not aspired any more
  Advance(*model);
}

void Manager::Impl::SetSourceStatus(std::string_view name, Status status, uint64_t generation) {
  const Change change(*this);
  Model* model = FindToldOf(name, generation);
  if (model == nullptr) return;
  model->source_status = std::move(status);
  if (!model->source_status.ok() && !IsSourceWaiting(*model))
    model->has_report |= IsAnswer(*model, generation);
  new_events_.push_back({std::string(name), std::nullopt});
  SettleWaiters(*model);
}

Manager::Impl::Model* Manager::Impl::FindConfigured(std::string_view name) {
  const auto found = models_.find(name);
  return found != models_.end() && found->second.is_configured ? &found->second : nullptr;
}

Manager::Impl::Model* Manager::Impl::FindToldOf(std::string_view name, uint64_t generation) {
  Model* const model = FindConfigured(name);
  if (model == nullptr || IsAnswer(*model, generation)) return model;
  const uint64_t same_since = model->config.same_since;
  return same_since != 0 && generation >= same_since ? model : nullptr;
}

// --- Transitions.

bool Manager::Impl::ShallBeLoaded(const Model& model) {
  return model.config.load_mode == LoadMode::kAlways ||
         (model.config.load_mode == LoadMode::kOnDemand && model.is_demanded);
}

void Manager::Impl::Advance(Model& model) {
  // The caller may have cancelled a load that waits for memory. The review ends that load.
  if (!wait_for_memory_.empty()) review_memory_ = true;
  if (!model.is_configured) {
    UnloadAll(model);
    ForgetMemory(model);
    if (!model.versions.IsBusy()) Forget(model);
    return;
  }
  if (!ShallBeLoaded(model)) UnloadAll(model);
  while (ShallBeLoaded(model)) {
    const auto action = model.versions.NextAction(*model.config.policy, HeldByLabels(model));
    if (!action) break;
    if (action->kind == VersionAction::Kind::kUnload) {
      StartUnload(model, action->version);
    } else if (!draining_) {
      StartLoad(model, action->version);
    } else {
      break;
    }
  }
  if (model.has_served && !model.versions.IsAnyComing()) model.is_first_load_over = true;
  model.versions.ForgetEnded(options_.ended_versions_max);
  NoteMemory(model);
  SettleWaiters(model);
}

std::set<VersionNumber> Manager::Impl::HeldByLabels(const Model& model) {
  std::set<VersionNumber> held;
  // This policy promises that there is only one version in memory, so labels must not keep a
  // second.
  if (model.config.policy == &ResourcePreservingPolicy()) return held;
  for (const auto& [label, wanted] : model.config.labels) {
    const auto in_force = model.labels.find(label);
    if (in_force == model.labels.end() || in_force->second == wanted) continue;
    if (model.versions.IsAspired(wanted)) held.insert(in_force->second);
  }
  return held;
}

void Manager::Impl::UnloadAll(Model& model) {
  while (const auto version = model.versions.LowestReady()) StartUnload(model, *version);
}

void Manager::Impl::StartUnload(Model& model, VersionNumber number) {
  auto [entry, load] = model.versions.StartUnload(number);
  Release({model.config.name, number}, std::move(entry), load, /*is_version=*/true);
  UpdateLookup(model);
}

void Manager::Impl::Release(const ServableId& id, std::unique_ptr<VersionEntry> entry,
                            uint64_t load, bool is_version) {
  to_unload_.push_back({id, std::move(entry), load, is_version});
  ++unloads_running_;
  meter_.BeginOther();
  unloading_bytes_ += memory_.TakenBy(load);
}

void Manager::Impl::Retire(const ServableId& id, uint64_t load, const Status& reason) {
  const Change change(*this);
  const auto found = models_.find(id.name);
  if (found == models_.end()) return;
  Model& model = found->second;
  // Some time has passed since the report. StartRetire returns null if that load's version does not
  // serve any more.
  std::unique_ptr<VersionEntry> entry = model.versions.StartRetire(
      id.version, load, reason.ok() ? absl::InternalError("it gave no reason") : reason,
      background_->Now(), options_.load_retry_interval_max);
  if (entry == nullptr) return;
  Release(id, std::move(entry), load, /*is_version=*/true);
  UpdateLookup(model);
  Advance(model);
}

void Manager::Impl::FinishUnload(const ServableId& id, uint64_t load, bool is_version) {
  const Change change(*this);
  unloading_bytes_ -= memory_.TakenBy(load);
  memory_.Set(load, 0);
  --unloads_running_;
  meter_.EndOther();
  review_memory_ = true;
  if (is_version) {
    // It exists: a model is not erased while one of its versions is being unloaded.
    Model& model = models_.find(id.name)->second;
    RetryLater(id, model.versions.FinishUnload(id.version));
    Advance(model);
  }
}

// --- What requests find.

void Manager::Impl::MoveLabels(Model& model) {
  std::erase_if(model.labels,
                [&](const auto& item) { return !model.config.labels.contains(item.first); });
  for (const auto& [label, wanted] : model.config.labels) {
    VersionNumber& in_force = model.labels.try_emplace(label, wanted).first->second;
    // A label stays where it is only while that version is ready and the wanted one is not.
    if (model.versions.IsReady(wanted) || !model.versions.IsReady(in_force)) in_force = wanted;
  }
}

void Manager::Impl::UpdateLookup(Model& model) {
  if (!model.is_configured) return SetView(model.config.name, nullptr);
  MoveLabels(model);
  auto view = std::make_shared<Snapshot::Model>();
  view->ready = model.versions.Ready();
  view->broken = model.versions.Broken();
  for (const auto& [label, version] : model.labels) view->labels.emplace(label, version);
  view->absent = AbsentByMode(model.config);
  view->on_demand = model.config.load_mode == LoadMode::kOnDemand;
  view->counts_as_ready = !view->ready.empty() || view->on_demand;
  view->is_expected = model.config.load_mode != LoadMode::kNever;
  view->is_of_start = model.is_of_start;
  view->has_served = model.has_served;
  SetView(model.config.name, std::move(view));
}

void Manager::Impl::SetView(const std::string& name, std::shared_ptr<const Snapshot::Model> view) {
  const auto count = [this](const Snapshot::Model& counted, size_t change) REQUIRES(mutex_) {
    if (counted.counts_as_ready) ready_count_ += change;
    if (counted.counts_as_ready || !counted.is_expected) return;
    missing_count_ += change;
    if (counted.is_established()) missing_established_count_ += change;
  };
  lookup_changed_ = true;
  const auto* const old = lookup_models_.find(name);
  // The counts change by the new view minus the old one, so no other model is visited.
  if (old != lookup_models_.end()) count(*old->second, size_t{0} - 1);
  if (view == nullptr) return lookup_models_.erase(name);
  count(*view, 1);
  lookup_models_.insert_or_assign(name, std::move(view));
}

bool Manager::Impl::IsReadyByRule() const {
  const ReadinessRule& rule = options_.readiness;
  switch (rule.kind) {
    case ReadinessRule::Kind::kAllModels:
      return missing_established_count_ == 0;
    case ReadinessRule::Kind::kEveryModel:
      return missing_count_ == 0;
    case ReadinessRule::Kind::kAnyModel:
      return lookup_models_.empty() || ready_count_ > 0;
    case ReadinessRule::Kind::kNamedModels:
      for (const std::string& name : rule.models) {
        const auto* const found = lookup_models_.find(name);
        if (found == lookup_models_.end() || !found->second->counts_as_ready) return false;
      }
      return true;
  }
  return false;
}

Manager::Impl::Calls Manager::Impl::Flush() {
  // Without a limit no load waits for memory.
  while (std::exchange(review_memory_, false) && memory_.limit() > 0) ReviewMemory();
  if (is_initial_) EndInitialLoad();
  if (std::exchange(lookup_changed_, false)) {
    auto next = std::make_unique<Snapshot>();
    next->models = lookup_models_;
    next->is_ready = !stopped_ && IsReadyByRule();
    is_start_over_ |= next->is_ready && ready_count_ + missing_count_ > 0;
    background_->FreeSnapshot(lookup_.Publish(std::move(next)));
  }
  // Only after Publish, so that no request can find these versions any more.
  for (ToUnload& item : std::exchange(to_unload_, {})) {
    background_->Unload(std::move(item.entry),
                        [this, id = item.id, load = item.load, is_version = item.is_version] {
                          FinishUnload(id, load, is_version);
                        });
  }
  events_.Append(std::exchange(new_events_, {}));
  return std::exchange(new_calls_, {});
}

// --- Status.

std::vector<std::string> Manager::Impl::ModelNames() {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, model] : models_) {
    if (model.is_configured) names.push_back(name);
  }
  return names;
}

std::vector<VersionStatus> Manager::Impl::VersionStatuses(std::string_view name) {
  MutexLock lock(mutex_);
  if (const auto found = models_.find(name); found != models_.end())
    return StatusesOf(found->second);
  const auto removed = removed_.find(name);
  if (removed == removed_.end()) return {};
  if (background_->Now() - removed->second.since < options_.ended_models_time)
    return removed->second.versions;
  // Its time is over. No timer removes these entries.
  removed_.erase(removed);
  return {};
}

std::vector<VersionStatus> Manager::Impl::StatusesOf(const Model& model) const {
  std::vector<VersionStatus> statuses;
  for (auto& [status, load] : model.versions.Statuses()) {
    status.memory_bytes = memory_.TakenBy(load);
    status.is_memory_measured = memory_.IsMeasured(load);
    statuses.push_back(std::move(status));
  }
  return statuses;
}

Status Manager::Impl::SourceStatus(std::string_view name) {
  MutexLock lock(mutex_);
  const Model* model = FindConfigured(name);
  return model == nullptr ? ModelNotFound(name) : model->source_status;
}

std::map<std::string, LabelState> Manager::Impl::Labels(std::string_view name) {
  MutexLock lock(mutex_);
  const Model* model = FindConfigured(name);
  return model == nullptr ? std::map<std::string, LabelState>() : LabelsOf(*model);
}

std::map<std::string, LabelState> Manager::Impl::LabelsOf(const Model& model) {
  std::map<std::string, LabelState> labels;
  for (const auto& [label, version] : model.labels) {
    const VersionNumber wanted = model.config.labels.at(label);
    const bool is_coming = !model.has_report || IsSourceWaiting(model) ||
                           model.versions.IsReady(wanted) || model.versions.IsAspired(wanted);
    labels.emplace(label, LabelState{wanted, version, is_coming, model.versions.IsReady(version)});
  }
  return labels;
}

std::optional<ModelStatus> Manager::Impl::StatusOf(std::string_view name) {
  MutexLock lock(mutex_);
  const Model* model = FindConfigured(name);
  if (model == nullptr) return std::nullopt;
  return ModelStatus{.is_ready = !model->versions.Ready().empty(),
                     .is_expected = model->config.load_mode == LoadMode::kAlways,
                     .has_report = model->has_report,
                     .source_status = model->source_status,
                     .versions = StatusesOf(*model),
                     .labels = LabelsOf(*model)};
}

Manager::Memory Manager::Impl::MemoryUse() {
  MutexLock lock(mutex_);
  return {memory_.taken(), memory_.limit()};
}

bool Manager::Impl::IsIdle() {
  {
    MutexLock lock(mutex_);
    if (unloads_running_ > 0 || loads_pending_ > 0) return false;
    for (const auto& [name, model] : models_) {
      if (model.versions.IsBusy()) return false;
    }
  }
  return events_.IsQuiet();
}

bool Manager::Impl::WaitUntilIdle(SteadyTime until) {
  return events_.WaitFor([this] { return IsIdle(); }, until);
}

std::vector<RunningLoad> Manager::Impl::RunningLoads() {
  MutexLock lock(mutex_);
  std::vector<RunningLoad> loads;
  const SteadyTime now = background_->Now();
  for (const auto& [name, model] : models_) {
    for (const LoadJob* load : model.versions.RunningLoads())
      loads.push_back({load->id, now - load->step_start + load->worked});
  }
  return loads;
}

// --- The end.

void Manager::Impl::StartDrain() {
  const Change change(*this);
  draining_ = true;
  review_memory_ = true;  // it ends the loads that wait for memory
  for (auto& [name, model] : models_) {
    model.versions.CancelLoads();
    model.versions.EndRetries();
    // If no version is being loaded, the waiters get their error now.
    SettleWaiters(model);
  }
}

bool Manager::Impl::Stop(SteadyTime until) {
  {
    const Change change(*this);
    draining_ = true;
    stopped_ = true;
    // Publishes that the server is not ready any more.
    lookup_changed_ = true;
    for (auto model = models_.begin(); model != models_.end();) {
      Model& current = (model++)->second;  // Remove may erase it
      if (current.is_configured) Remove(current);
    }
  }
  return WaitUntilIdle(until);
}

void Manager::Impl::WaitUntilUnloaded() {
  const auto is_unloaded = [this] {
    MutexLock lock(mutex_);
    return unloads_running_ == 0;
  };
  events_.WaitFor([&] { return is_unloaded() && events_.IsQuiet(); }, kNoDeadline);
}

}  // namespace penstock::core
