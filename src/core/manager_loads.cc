// SPDX-License-Identifier: Apache-2.0
// What the manager does when a step of a load begins or ends, when memory becomes free, and when
// models on demand are idle. LoadRunner runs the steps, and MemoryAdmission decides which load gets
// memory.
#include <algorithm>
#include <set>
#include <utility>

#include "core/manager.h"

namespace penstock::core {
namespace {

// The period of the polls which models were used, at least and at most.
constexpr Duration kPollMin = std::chrono::milliseconds(10);
constexpr Duration kPollMax = std::chrono::seconds(1);

}  // namespace

// --- The steps of a load.

bool Manager::BeginEstimate(const std::shared_ptr<LoadJob>& job) {
  MutexLock lock(mutex_);
  loads_.BeginStep(*job);
  if (job->is_cancelled || draining_) return false;
  loads_.LimitStep(job, models_.find(job->id.name)->second.config.load_timeout);
  return true;
}

void Manager::EndEstimate(const std::shared_ptr<LoadJob>& job,
                          StatusOr<ResourceEstimate> estimate) {
  const Change change(*this);
  Model& model = models_.find(job->id.name)->second;
  loads_.EndStep(*job);
  if (job->is_hung) {
    EndHungLoad(model, *job, nullptr);
  } else if (job->is_cancelled || draining_) {
    FailLoad(model, *job, LoadCancelled());
  } else if (!estimate.ok()) {
    FailLoad(model, *job, estimate.status());
  } else {
    job->estimate = *estimate;
    // The operator knows better than the estimate.
    if (model.config.memory_bytes > 0) job->estimate = {.ram_bytes = model.config.memory_bytes};
    if (memory_.Admit(job)) loads_.Continue(job, model.config.load_timeout);
  }
  Advance(model);
}

bool Manager::BeginLoad(const std::shared_ptr<LoadJob>& job) {
  MutexLock lock(mutex_);
  loads_.BeginStep(*job);
  // It may have been cancelled, or timed out, while it waited for a thread.
  return !job->is_cancelled && !job->is_hung;
}

void Manager::EndLoad(const std::shared_ptr<LoadJob>& job,
                      StatusOr<std::unique_ptr<Servable>> servable, const ResourceEstimate& taken) {
  const Change change(*this);
  Model& model = models_.find(job->id.name)->second;
  loads_.EndStep(*job);
  const bool is_configured_size = model.config.memory_bytes > 0;
  const uint64_t bytes = is_configured_size ? model.config.memory_bytes : taken.ram_bytes;
  memory_.EndLoad(*job, servable.ok() ? bytes : 0, taken.is_measured && !is_configured_size);
  if (job->is_hung) {
    EndHungLoad(model, *job, servable.ok() ? *std::move(servable) : nullptr);
  } else if (servable.ok()) {
    FinishLoad(model, *job, *std::move(servable));
  } else {
    FailLoad(model, *job, servable.status());
  }
  Advance(model);
}

void Manager::FinishLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) {
  loads_.End(job);
  auto entry = std::make_unique<VersionEntry>(job.id, std::move(servable));
  // The load succeeded, but its version is not wanted any more.
  if (!model.versions.IsWanted(job)) {
    model.versions.CancelLoad(job);
    return Release({job.id, std::move(entry), job.number});
  }
  Servable& loaded = entry->servable();
  const SteadyTime now = background_.Now();
  model.versions.FinishLoad(job, std::move(entry), now);
  model.use.NoteReady(now);
  model.has_served = true;
  if (model.config.load_mode == LoadMode::kOnDemand) SchedulePoll();
  UpdateView(model);
  WatchBroken(loaded, job.id, job.number);
}

void Manager::WatchBroken(Servable& servable, const ServableId& id, uint64_t load) {
  // The report may come on the thread of a request. So the manager acts on it in the background.
  servable.SetBrokenCallback([this, id, load](Status reason) {
    background_.RunAt(background_.Now(),
                      [this, id, load, reason = std::move(reason)] { Retire(id, load, reason); });
  });
}

// --- Renewals.

Status Manager::Renew(const ServableId& id) {
  std::shared_ptr<LoadJob> job;
  {
    const Change change(*this);
    Model* const model = FindConfigured(id.name);
    if (model != nullptr && !draining_)
      job = model->versions.StartRenewal(id.version, loads_.NextNumber());
  }
  if (job == nullptr)
    return Error(StatusCode::kFailedPrecondition, "{} is not ready", id.ToString());
  const SteadyTime start = background_.Now();
  // Without the mutex. The job keeps the model in the map, and the version in the model.
  StatusOr<std::unique_ptr<Servable>> servable = job->loader->Load();
  const Change change(*this);
  const SteadyTime now = background_.Now();
  job->worked = now - start;
  Model& model = models_.find(id.name)->second;
  std::unique_ptr<VersionEntry> entry;
  Servable* const renewed = servable.ok() ? servable->get() : nullptr;
  const Status status = servable.status();
  if (renewed != nullptr) entry = std::make_unique<VersionEntry>(id, *std::move(servable));
  auto [former, load] = model.versions.FinishRenewal(*job, std::move(entry), now);
  if (load != job->number) {
    memory_.EndLoad(*job, memory_.ReservedBy(load), /*is_measured=*/false);
    WatchBroken(*renewed, id, job->number);
  }
  if (former != nullptr) Release({id, std::move(former), load, /*is_version=*/false});
  UpdateView(model);
  Advance(model);
  return status;
}

void Manager::FailLoad(Model& model, LoadJob& job, const Status& error, uint64_t needed_bytes) {
  loads_.End(job);
  memory_.RequestReview();  // other loads may have waited because of this one
  loads_.RetryLater(job.id, model.versions.FailLoad(job, error, needed_bytes));
}

void Manager::EndTimeLimit(const std::shared_ptr<LoadJob>& job, uint64_t step, Duration limit) {
  const Change change(*this);
  if (!loads_.GiveUp(*job, step)) return;
  Model& model = models_.find(job->id.name)->second;
  memory_.NoteHung(*job);
  model.versions.TimeOutLoad(
      *job, Error(StatusCode::kDeadlineExceeded,
                  "loading did not end within {} ms: it was asked to, and is tried again once it "
                  "has ended",
                  std::chrono::duration_cast<std::chrono::milliseconds>(limit).count()));
  Advance(model);
}

void Manager::EndHungLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) {
  loads_.End(job);
  memory_.RequestReview();
  if (servable != nullptr) {
    Release({job.id, std::make_unique<VersionEntry>(job.id, std::move(servable)), job.number,
             /*is_version=*/false});
  }
  loads_.RetryLater(job.id, model.versions.EndHungLoad(job));
}

void Manager::Retry(const ServableId& id, int failures) {
  const Change change(*this);
  Model* model = FindConfigured(id.name);
  if (model == nullptr || draining_) return;
  model->versions.Retry(id.version, failures);
  Advance(*model);
}

void Manager::EndInitialLoad() {
  if (loads_.pending() > 0 || models_.empty()) return;
  // Search from the model that was found last time, once around the map. Sources report one model
  // after another, so each model is passed only once.
  const auto start = models_.lower_bound(unreported_);
  auto next = start;
  do {
    if (next == models_.end()) {
      next = models_.begin();
      continue;
    }
    if (next->second.is_configured && !next->second.has_report) {
      unreported_ = next->first;
      return;
    }
    ++next;
  } while (next != start);
  is_initial_ = false;
  if (options_.initial_load_threads > 0) background_.SetLoadThreads(options_.load_threads);
}

// --- Memory.

void Manager::ReviewMemory() {
  std::set<Model*> changed;
  for (const MemoryAdmission::Action& action :
       memory_.ReviewWaiting([this]() REQUIRES(mutex_) { return EvictionOrder(); })) {
    using Kind = MemoryAdmission::Action::Kind;
    const std::string& name = action.job != nullptr ? action.job->id.name : action.model;
    Model& model = models_.find(name)->second;  // it exists as long as its load waits
    switch (action.kind) {
      case Kind::kBegin:
        loads_.Continue(action.job, model.config.load_timeout);
        break;
      case Kind::kReport:
        model.versions.NoteWaiting(*action.job, action.status);
        break;
      case Kind::kFail:
        FailLoad(model, *action.job, action.status, action.needed_bytes);
        changed.insert(&model);
        break;
      case Kind::kEvict:
        Evict(model);
        break;
    }
  }
  if (!draining_) {
    memory_.RetryLacking([&](const std::string& name, uint64_t headroom) REQUIRES(mutex_) {
      Model& model = models_.find(name)->second;
      if (!model.ShallBeLoaded()) return uint64_t{0};
      const uint64_t retried = model.versions.RetryFitting(headroom);
      if (retried > 0) changed.insert(&model);
      return retried;
    });
  }
  for (Model* const model : changed) Advance(*model);
}

std::vector<std::string> Manager::EvictionOrder() {
  const SteadyTime now = background_.Now();
  std::vector<Model*> models;
  for (const auto& [name, bytes] : memory_.evictable()) {
    // Requests have been promised this model and are about to take their handles.
    if (demands_.IsAnswering(name)) continue;
    Model& model = models_.find(name)->second;
    // The last poll may be a second old. The order of eviction must be that of now.
    PollUseOf(model, now);
    models.push_back(&model);
  }
  std::sort(models.begin(), models.end(), [](const Model* a, const Model* b) {
    return a->use.EvictionRank() < b->use.EvictionRank();
  });
  std::vector<std::string> names;
  names.reserve(models.size());
  for (const Model* model : models) names.push_back(model->config.name);
  return names;
}

void Manager::Evict(Model& model) {
  const std::string& name = model.config.name;
  model.is_demanded = false;
  UnloadAll(model);
  // These wait for other versions of the model than the ready ones.
  demands_.Refuse(
      name, Error(StatusCode::kUnavailable,
                  "model {} is unloaded, as another one needs the memory: try again later", name));
}

// --- Polls of use.

void Manager::PollUseOf(Model& model, SteadyTime now) {
  const std::string& name = model.config.name;
  uint64_t uses = 0;
  bool is_in_use = demands_.HasWaiters(name) || demands_.IsAnswering(name);
  for (const VersionEntry* entry : model.versions.Ready()) {
    uses += entry->Uses();
    is_in_use |= entry->HasHandles();
  }
  model.use.Poll(uses, is_in_use, now);
}

void Manager::SchedulePoll() {
  if (is_polling_use_) return;
  Duration period = options_.ram_bytes_max > 0 ? kPollMax : Duration::max();
  bool any_loaded = false;
  for (const auto& [name, model] : models_) {
    if (model.config.load_mode != LoadMode::kOnDemand || model.versions.Ready().empty()) continue;
    any_loaded = true;
    if (model.config.unload_after_idle > Duration::zero())
      // Four polls in the idle time, so that the model stays about a quarter too long at most.
      period = std::min(period, model.config.unload_after_idle / 4);
  }
  if (!any_loaded || period == Duration::max()) return;
  is_polling_use_ = true;
  background_.RunAt(background_.Now() + std::clamp(period, kPollMin, kPollMax),
                    [this] { PollUse(); });
}

void Manager::PollUse() {
  const Change change(*this);
  is_polling_use_ = false;
  const SteadyTime now = background_.Now();
  for (auto& [name, model] : models_) {
    if (model.config.load_mode != LoadMode::kOnDemand || !model.is_configured) continue;
    PollUseOf(model, now);
    const Duration idle_max = model.config.unload_after_idle;
    const bool is_idle = idle_max > Duration::zero() && model.use.IdleTime(now) >= idle_max;
    if (is_idle && !model.versions.Ready().empty()) {
      model.is_demanded = false;
      UnloadAll(model);
    }
  }
  if (!stopped_) SchedulePoll();
}

}  // namespace penstock::core
