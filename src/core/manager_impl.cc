// SPDX-License-Identifier: Apache-2.0
#include "core/manager_impl.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <new>
#include <optional>
#include <set>
#include <utility>

namespace penstock::core {
namespace {

Status ModelNotFound(std::string_view name) {
  return Error(StatusCode::kNotFound, "there is no model called \"{}\"", name);
}

// Calls a function of a loader; whatever it throws becomes a status.
template <typename Function>
auto CallLoader(Function&& function) -> decltype(function()) {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  } catch (const std::exception& error) {
    return Error(StatusCode::kInternal, "the loader threw: {}", error.what());
  } catch (...) {
    return absl::InternalError("the loader threw");
  }
}

}  // namespace

Manager::Impl::Impl(ManagerOptions options)
    : options_(options),
      housekeeper_(lookup_, options.load_nice),
      load_pool_({.name = "load",
                  .threads = std::max(1, options.load_threads),
                  .queue_tasks_max = std::numeric_limits<size_t>::max(),
                  .nice = options.load_nice}) {}

// --- Configuration.

Status Manager::Impl::SetModels(std::vector<ModelConfig> configs, bool is_complete_list) {
  {
    MutexLock lock(mutex_);
    if (draining_) {
      return Error(StatusCode::kFailedPrecondition, "the server is shutting down");
    }
    std::set<std::string> names;
    for (const ModelConfig& config : configs) {
      TRY(CheckConfig(config));
      if (!names.insert(config.name).second) {
        return InvalidArgument("the model \"{}\" is configured twice", config.name);
      }
    }
    if (is_complete_list) {
      for (auto model = models_.begin(); model != models_.end();) {
        Model& current = (model++)->second;  // Remove may erase it
        if (current.is_configured && !names.contains(current.config.name)) Remove(current);
      }
    }
    for (ModelConfig& config : configs) Configure(std::move(config));
    Flush();
  }
  events_.Deliver();
  return OkStatus();
}

Status Manager::Impl::CheckConfig(const ModelConfig& config) {
  if (config.name.empty()) return InvalidArgument("a model has no name");
  Model* model = FindConfigured(config.name);
  if (model == nullptr) return OkStatus();
  for (const auto& [label, version] : config.labels) {
    const auto old = model->config.labels.find(label);
    if (old == model->config.labels.end() || old->second == version) continue;
    if (model->versions.IsReady(old->second) && !model->versions.IsReady(version)) {
      return Error(StatusCode::kFailedPrecondition,
                   "Request to assign label to version {} of model {}, which is not currently "
                   "available for inference: label \"{}\" stays at version {}",
                   version.value, config.name, label, old->second.value);
    }
  }
  return OkStatus();
}

void Manager::Impl::Configure(ModelConfig config) {
  Model& model = models_.try_emplace(config.name, config.name, new_events_).first->second;
  model.source_status = OkStatus();  // of the old configuration; the source tells it anew
  model.is_configured = true;
  model.config = std::move(config);
  new_events_.push_back({model.config.name, std::nullopt});
  UpdateLookup(model);
  Advance(model);
}

Status Manager::Impl::RemoveModel(std::string_view name) {
  {
    MutexLock lock(mutex_);
    Model* model = FindConfigured(name);
    if (model == nullptr) return ModelNotFound(name);
    Remove(*model);
    Flush();
  }
  events_.Deliver();
  return OkStatus();
}

void Manager::Impl::Remove(Model& model) {
  model.is_configured = false;
  new_events_.push_back({model.config.name, std::nullopt});
  model.versions.SetAspired({});
  UpdateLookup(model);
  Advance(model);
}

void Manager::Impl::SetAspired(std::string_view name, std::vector<AspiredVersion> versions) {
  {
    MutexLock lock(mutex_);
    Model* model = FindConfigured(name);
    if (model == nullptr || draining_) return;
    const bool had_broken = !model->versions.Broken().empty();
    model->versions.SetAspired(std::move(versions));
    if (had_broken) UpdateLookup(*model);
    Advance(*model);
    Flush();
  }
  events_.Deliver();
}

void Manager::Impl::SetSourceStatus(std::string_view name, Status status) {
  {
    MutexLock lock(mutex_);
    Model* model = FindConfigured(name);
    if (model == nullptr) return;
    model->source_status = std::move(status);
    new_events_.push_back({std::string(name), std::nullopt});
    Flush();
  }
  events_.Deliver();
}

Manager::Impl::Model* Manager::Impl::FindConfigured(std::string_view name) {
  const auto found = models_.find(name);
  return found != models_.end() && found->second.is_configured ? &found->second : nullptr;
}

// --- Transitions.

void Manager::Impl::Advance(Model& model) {
  if (model.is_configured) {
    while (const auto action = model.versions.NextAction(*model.config.policy)) {
      if (action->kind == VersionAction::Kind::kUnload) {
        StartUnload(model, action->version);
      } else if (!draining_) {
        StartLoad(model, action->version);
      } else {
        break;
      }
    }
    model.versions.ForgetEnded(options_.ended_versions_max);
    return;
  }
  while (const auto version = model.versions.LowestReady()) StartUnload(model, *version);
  if (!model.versions.IsBusy()) models_.erase(models_.find(model.config.name));
}

void Manager::Impl::StartLoad(Model& model, VersionNumber number) {
  const ServableId id{model.config.name, number};
  std::unique_ptr<Loader> loader = model.versions.StartLoad(number);
  const bool accepted = load_pool_.Submit(
      [this, id, loader = std::move(loader)]() mutable { Load(id, std::move(loader)); });
  if (!accepted) FailLoad(model, id, absl::UnavailableError("the load pool is stopping"), nullptr);
}

void Manager::Impl::StartUnload(Model& model, VersionNumber number) {
  to_unload_.push_back({{model.config.name, number}, model.versions.StartUnload(number)});
  UpdateLookup(model);
}

void Manager::Impl::Retire(const ServableId& id, uint64_t load, const Status& reason) {
  {
    MutexLock lock(mutex_);
    const auto found = models_.find(id.name);
    if (found == models_.end()) return;
    Model& model = found->second;
    std::unique_ptr<VersionEntry> entry = model.versions.StartRetire(
        id.version, load, reason.ok() ? absl::InternalError("it gave no reason") : reason,
        Clock::Real().Now(), options_.load_retry_interval_max);
    if (entry == nullptr) return;
    to_unload_.push_back({id, std::move(entry)});
    UpdateLookup(model);
    Advance(model);
    Flush();
  }
  events_.Deliver();
}

void Manager::Impl::FinishUnload(const ServableId& id) {
  {
    MutexLock lock(mutex_);
    Model& model = models_.find(id.name)->second;
    reserved_bytes_.erase(id);
    RetryLater(id, model.versions.FinishUnload(id.version));
    Advance(model);
    Flush();
  }
  events_.Deliver();
}

void Manager::Impl::Load(const ServableId& id, std::unique_ptr<Loader> loader) {
  StatusOr<std::unique_ptr<Servable>> servable = TryLoad(id, *loader);
  {
    MutexLock lock(mutex_);
    Model& model = models_.find(id.name)->second;
    if (servable.ok()) {
      FinishLoad(model, id, std::move(*servable), std::move(loader));
    } else {
      FailLoad(model, id, servable.status(), std::move(loader));
    }
    Advance(model);
    Flush();
  }
  events_.Deliver();
}

StatusOr<std::unique_ptr<Servable>> Manager::Impl::TryLoad(const ServableId& id, Loader& loader) {
  {
    MutexLock lock(mutex_);
    if (!models_.find(id.name)->second.versions.IsLoadWanted(id.version)) {
      return absl::CancelledError("Loading of servable cancelled");
    }
  }
  ASSIGN_OR_RETURN(const uint64_t bytes, CallLoader([&] { return loader.EstimateResources(); }));
  TRY(Reserve(id, bytes));
  ASSIGN_OR_RETURN(std::unique_ptr<Servable> servable, CallLoader([&] { return loader.Load(); }));
  if (servable == nullptr) return absl::InternalError("the loader gave nothing");
  return servable;
}

Status Manager::Impl::Reserve(const ServableId& id, uint64_t bytes) {
  MutexLock lock(mutex_);
  uint64_t taken = 0;
  for (const auto& [other, other_bytes] : reserved_bytes_) taken += other_bytes;
  const uint64_t limit = options_.ram_bytes_max;
  if (limit != 0 && bytes > limit - std::min(limit, taken)) {
    return Error(StatusCode::kResourceExhausted,
                 "Insufficient resources to load servable {}: it takes {} bytes, and {} of the "
                 "limit of {} are taken, so that {} are missing",
                 id.ToString(), bytes, taken, limit, bytes - (limit - std::min(limit, taken)));
  }
  reserved_bytes_[id] = bytes;
  return OkStatus();
}

void Manager::Impl::FinishLoad(Model& model, const ServableId& id,
                               std::unique_ptr<Servable> servable, std::unique_ptr<Loader> loader) {
  auto entry = std::make_unique<VersionEntry>(id, std::move(servable));
  if (model.versions.IsLoadWanted(id.version)) {
    Servable& loaded = entry->servable();
    const uint64_t load = model.versions.FinishLoad(id.version, std::move(entry), std::move(loader),
                                                    Clock::Real().Now());
    UpdateLookup(model);
    // What it reports is acted on by the housekeeper: the thread that reports may be a request's.
    loaded.SetBrokenCallback([this, id, load](Status reason) {
      housekeeper_.RunAt(Clock::Real().Now(), [this, id, load, reason = std::move(reason)] {
        Retire(id, load, reason);
      });
    });
    return;
  }
  model.versions.CancelLoad(id.version);
  to_unload_.push_back({id, std::move(entry)});
}

void Manager::Impl::FailLoad(Model& model, const ServableId& id, const Status& error,
                             std::unique_ptr<Loader> loader) {
  reserved_bytes_.erase(id);
  RetryLater(id, model.versions.FailLoad(id.version, error, std::move(loader)));
}

void Manager::Impl::RetryLater(const ServableId& id, int failures) {
  const bool has_retry = options_.load_retries_max < 0 || failures <= options_.load_retries_max;
  if (failures == 0 || !has_retry || draining_) return;
  Duration delay = options_.load_retry_interval;
  for (int i = 1; i < failures && delay < options_.load_retry_interval_max; ++i) delay *= 2;
  delay = std::min(delay, options_.load_retry_interval_max);
  housekeeper_.RunAt(Clock::Real().Now() + delay, [this, id, failures] { Retry(id, failures); });
}

void Manager::Impl::Retry(const ServableId& id, int failures) {
  {
    MutexLock lock(mutex_);
    Model* model = FindConfigured(id.name);
    if (model == nullptr || draining_) return;
    model->versions.Retry(id.version, failures);
    Advance(*model);
    Flush();
  }
  events_.Deliver();
}

// --- What requests find.

void Manager::Impl::UpdateLookup(const Model& model) {
  lookup_changed_ = true;
  if (!model.is_configured) {
    lookup_models_.erase(model.config.name);
    return;
  }
  auto view = std::make_shared<Snapshot::Model>();
  view->ready = model.versions.Ready();
  view->broken = model.versions.Broken();
  for (const auto& [label, version] : model.config.labels) view->labels.emplace(label, version);
  lookup_models_.insert_or_assign(model.config.name, std::move(view));
}

void Manager::Impl::Flush() {
  if (std::exchange(lookup_changed_, false)) {
    auto next = std::make_unique<Snapshot>();
    next->models = lookup_models_;
    next->is_ready =
        !stopped_ && std::none_of(lookup_models_.begin(), lookup_models_.end(),
                                  [](const auto& m) { return m.second->ready.empty(); });
    housekeeper_.FreeSnapshot(lookup_.Publish(std::move(next)));
  }
  for (ToUnload& item : std::exchange(to_unload_, {})) {
    housekeeper_.Unload(std::move(item.entry), [this, id = item.id] { FinishUnload(id); });
  }
  events_.Append(std::exchange(new_events_, {}));
}

// --- What is going on.

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
  const auto found = models_.find(name);
  if (found == models_.end()) return {};
  return found->second.versions.Statuses();
}

Status Manager::Impl::SourceStatus(std::string_view name) {
  MutexLock lock(mutex_);
  const Model* model = FindConfigured(name);
  return model == nullptr ? ModelNotFound(name) : model->source_status;
}

std::map<std::string, VersionNumber> Manager::Impl::Labels(std::string_view name) {
  MutexLock lock(mutex_);
  const Model* model = FindConfigured(name);
  if (model == nullptr) return {};
  return model->config.labels;
}

bool Manager::Impl::IsIdle() {
  {
    MutexLock lock(mutex_);
    for (const auto& [name, model] : models_) {
      if (model.versions.IsBusy()) return false;
    }
  }
  return events_.IsQuiet();
}

bool Manager::Impl::WaitUntilIdle(SteadyTime until) {
  return events_.WaitFor([this] { return IsIdle(); }, until);
}

// --- The end.

void Manager::Impl::StartDrain() {
  MutexLock lock(mutex_);
  draining_ = true;
}

void Manager::Impl::Stop() {
  {
    MutexLock lock(mutex_);
    draining_ = true;
    stopped_ = true;
    lookup_changed_ = true;
    for (auto model = models_.begin(); model != models_.end();) {
      Model& current = (model++)->second;  // Remove may erase it
      if (current.is_configured) Remove(current);
    }
    Flush();
  }
  events_.Deliver();
  WaitUntilIdle(kNoDeadline);
}

}  // namespace penstock::core
