// SPDX-License-Identifier: Apache-2.0
// The way of a version into memory: estimate, reserve, load, publish; and what may go wrong on it.
#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "core/manager_impl.h"

namespace penstock::core {
namespace {

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

Status LoadCancelled() { return absl::CancelledError("Loading of servable cancelled"); }

// What the load takes while it runs.
uint64_t PeakBytes(const LoadJob& job) {
  const uint64_t extra = job.estimate.load_extra_bytes;
  return job.estimate.ram_bytes + std::min(extra, UINT64_MAX - job.estimate.ram_bytes);
}

}  // namespace

void Manager::Impl::StartLoad(Model& model, VersionNumber number) {
  const std::shared_ptr<LoadJob> job = model.versions.StartLoad(number, ++load_count_);
  ++loads_pending_;
  background_->RunLoad([this, job] { EstimateLoad(job); }, /*continues=*/false);
}

void Manager::Impl::EstimateLoad(const std::shared_ptr<LoadJob>& job) {
  bool is_cancelled = false;
  {
    MutexLock lock(mutex_);
    is_cancelled = job->is_cancelled || draining_;
    if (!is_cancelled) StartTimeout(models_.find(job->id.name)->second, job);
  }
  StatusOr<ResourceEstimate> estimate = LoadCancelled();
  if (!is_cancelled) {
    meter_.BeginOther();  // it may open a runtime
    estimate = CallLoader([&] { return job->loader->EstimateResources(); });
    meter_.EndOther();
  }
  const Change change(*this);
  Model& model = models_.find(job->id.name)->second;
  ++job->step;
  if (job->is_hung) {
    EndHungLoad(model, *job, nullptr);
  } else if (job->is_cancelled || draining_) {
    FailLoad(model, *job, LoadCancelled());
  } else if (!estimate.ok()) {
    FailLoad(model, *job, estimate.status());
  } else {
    job->estimate = *estimate;
    if (model.config.memory_bytes > 0) job->estimate = {.ram_bytes = model.config.memory_bytes};
    Admit(model, job);
  }
  Advance(model);
}

bool Manager::Impl::TryReserve(const LoadJob& job) {
  if (PeakBytes(job) > memory_.free()) return false;
  memory_.Set(job.number, PeakBytes(job));
  return true;
}

void Manager::Impl::Admit(Model& model, const std::shared_ptr<LoadJob>& job) {
  if (TryReserve(*job)) return BeginLoad(job);
  if (MakeRoom(PeakBytes(*job), model) || IsMemoryComing()) {
    model.versions.NoteWaiting(*job, NoMemory(*job));
    wait_for_memory_.push_back(job);
    return;
  }
  FailLoad(model, *job, NoMemory(*job), PeakBytes(*job));
}

void Manager::Impl::BeginLoad(const std::shared_ptr<LoadJob>& job) {
  ++loads_running_;
  StartTimeout(models_.find(job->id.name)->second, job);
  background_->RunLoad([this, job] { RunLoad(job); }, /*continues=*/true);
}

bool Manager::Impl::IsMemoryComing() const { return loads_running_ > 0 || unloads_running_ > 0; }

Status Manager::Impl::NoMemory(const LoadJob& job) const {
  const uint64_t needed = PeakBytes(job);
  return Error(StatusCode::kResourceExhausted,
               "Insufficient resources to load servable {}: it takes {} bytes, and {} of the limit "
               "of {} are taken, so that {} are missing",
               job.id.ToString(), needed, memory_.taken(), memory_.limit(),
               needed - memory_.free());
}

StatusOr<std::unique_ptr<Servable>> Manager::Impl::CallLoad(Loader& loader,
                                                            ResourceEstimate& taken) {
  const MemoryMeter::Start start = meter_.BeginLoad();
  StatusOr<std::unique_ptr<Servable>> servable = CallLoader([&] { return loader.Load(); });
  const std::optional<MemoryGrowth> growth = meter_.EndLoad(start);
  if (!servable.ok()) return servable;
  if (*servable == nullptr) return absl::InternalError("the loader gave nothing");
  const auto told = CallLoader([&] { return loader.ResourcesTaken(growth); });
  if (told.ok()) taken = *told;
  return servable;
}

void Manager::Impl::RunLoad(const std::shared_ptr<LoadJob>& job) {
  bool is_cancelled = false;
  {
    MutexLock lock(mutex_);
    is_cancelled = job->is_cancelled || job->is_hung;
  }
  ResourceEstimate taken = job->estimate;
  StatusOr<std::unique_ptr<Servable>> servable = LoadCancelled();
  if (!is_cancelled) servable = CallLoad(*job->loader, taken);
  const Change change(*this);
  Model& model = models_.find(job->id.name)->second;
  ++job->step;
  --loads_running_;
  review_memory_ = true;
  if (model.config.memory_bytes > 0) taken = {.ram_bytes = model.config.memory_bytes};
  memory_.Set(job->number, servable.ok() ? taken.ram_bytes : 0, taken.is_measured);
  if (job->is_hung) {
    EndHungLoad(model, *job, servable.ok() ? *std::move(servable) : nullptr);
  } else if (servable.ok()) {
    FinishLoad(model, *job, *std::move(servable));
  } else {
    FailLoad(model, *job, servable.status());
  }
  Advance(model);
}

void Manager::Impl::FinishLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) {
  --loads_pending_;
  auto entry = std::make_unique<VersionEntry>(job.id, std::move(servable));
  if (!model.versions.IsAspired(job.id.version)) {
    model.versions.CancelLoad(job);
    Release(job.id, std::move(entry), job.number, /*is_version=*/true);
    return;
  }
  Servable& loaded = entry->servable();
  const SteadyTime now = background_->Now();
  model.versions.FinishLoad(job, std::move(entry), now);
  model.last_used = now;
  if (model.config.load_mode == LoadMode::kOnDemand) StartLookingAtUse();
  UpdateLookup(model);
  // What it reports is acted on in the background: the thread that reports may be a request's.
  loaded.SetBrokenCallback([this, id = job.id, load = job.number](Status reason) {
    background_->RunAt(background_->Now(),
                       [this, id, load, reason = std::move(reason)] { Retire(id, load, reason); });
  });
}

void Manager::Impl::FailLoad(Model& model, LoadJob& job, const Status& error,
                             uint64_t needed_bytes) {
  --loads_pending_;
  RetryLater(job.id, model.versions.FailLoad(job, error, needed_bytes));
}

void Manager::Impl::RetryLater(const ServableId& id, int failures) {
  const bool has_retry = options_.load_retries_max < 0 || failures <= options_.load_retries_max;
  if (failures == 0 || !has_retry || draining_) return;
  Duration delay = options_.load_retry_interval;
  for (int i = 1; i < failures && delay < options_.load_retry_interval_max; ++i) delay *= 2;
  delay = std::min(delay, options_.load_retry_interval_max);
  background_->RunAt(background_->Now() + delay, [this, id, failures] { Retry(id, failures); });
}

void Manager::Impl::Retry(const ServableId& id, int failures) {
  const Change change(*this);
  Model* model = FindConfigured(id.name);
  if (model == nullptr || draining_) return;
  model->versions.Retry(id.version, failures);
  Advance(*model);
}

// --- Memory.

void Manager::Impl::ReviewMemory() {
  for (const auto& job : std::exchange(wait_for_memory_, {})) {
    Model& model = models_.find(job->id.name)->second;
    if (job->is_cancelled || draining_) {
      FailLoad(model, *job, LoadCancelled());
      Advance(model);
    } else if (TryReserve(*job)) {
      model.versions.NoteWaiting(*job, OkStatus());
      BeginLoad(job);
    } else if (MakeRoom(PeakBytes(*job), model) || IsMemoryComing()) {
      wait_for_memory_.push_back(job);
    } else {
      FailLoad(model, *job, NoMemory(*job), PeakBytes(*job));
      Advance(model);
    }
  }
  if (draining_) return;
  for (auto model = models_.begin(); model != models_.end();) {
    Model& current = (model++)->second;  // Advance may erase it
    // With thousands of models the sum over all of them is too much for each.
    if (!current.versions.LacksMemory()) continue;
    const uint64_t room = memory_.free() + std::min(Movable(current), UINT64_MAX - memory_.free());
    if (current.versions.RetryFitting(room)) Advance(current);
  }
  review_memory_ = false;  // Advance asks for it, but this was it
}

// --- Time.

void Manager::Impl::StartTimeout(const Model& model, const std::shared_ptr<LoadJob>& job) {
  const uint64_t step = ++job->step;
  const Duration timeout = model.config.load_timeout.value_or(options_.load_timeout);
  if (timeout <= Duration::zero()) return;
  background_->RunAt(background_->Now() + timeout,
                     [this, weak = std::weak_ptr<LoadJob>(job), step, timeout] {
                       if (const auto timed = weak.lock()) TimeOut(timed, step, timeout);
                     });
}

void Manager::Impl::TimeOut(const std::shared_ptr<LoadJob>& job, uint64_t step, Duration timeout) {
  const Change change(*this);
  if (job->step != step || job->is_hung) return;
  Model& model = models_.find(job->id.name)->second;
  --loads_pending_;
  background_->NoteHungLoads(1);
  model.versions.TimeOutLoad(
      *job, Error(StatusCode::kDeadlineExceeded,
                  "loading did not end within {} ms: it was asked to, and is tried again once it "
                  "has ended",
                  std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()));
  Advance(model);
}

void Manager::Impl::EndHungLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) {
  background_->NoteHungLoads(-1);
  if (servable != nullptr) {
    Release(job.id, std::make_unique<VersionEntry>(job.id, std::move(servable)), job.number,
            /*is_version=*/false);
  }
  RetryLater(job.id, model.versions.EndHungLoad(job));
}

void Manager::Impl::EndInitialLoad() {
  if (loads_pending_ > 0 || models_.empty()) return;
  for (const auto& [name, model] : models_) {
    if (model.is_configured && !model.was_told) return;
  }
  is_initial_ = false;
  if (options_.initial_load_threads > 0) background_->SetLoadThreads(options_.load_threads);
}

}  // namespace penstock::core
