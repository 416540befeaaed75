// SPDX-License-Identifier: Apache-2.0
// How a version gets into memory: estimate, load, publish; and the failures on this way.
#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "core/manager_impl.h"

namespace penstock::core {
namespace {

// Calls a function of a loader, and turns an exception into a status.
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

void Manager::Impl::StartLoad(Model& model, VersionNumber number) {
  const std::shared_ptr<LoadJob> job = model.versions.StartLoad(number, ++load_count_);
  ++loads_pending_;
  background_->RunLoad([this, job] { EstimateLoad(job); }, /*continues=*/false);
}

void Manager::Impl::EstimateLoad(const std::shared_ptr<LoadJob>& job) {
  bool is_cancelled = false;
  {
    MutexLock lock(mutex_);
    BeginStep(*job);
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
  EndStep(*job);
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

void Manager::Impl::BeginLoad(Model& model, const std::shared_ptr<LoadJob>& job) {
  StartTimeout(model, job);
  background_->RunLoad([this, job] { RunLoad(job); }, /*continues=*/true);
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
    BeginStep(*job);
    // It may have been cancelled, or timed out, while it waited for a thread.
    is_cancelled = job->is_cancelled || job->is_hung;
  }
  ResourceEstimate taken = job->estimate;
  StatusOr<std::unique_ptr<Servable>> servable = LoadCancelled();
  if (!is_cancelled) servable = CallLoad(*job->loader, taken);
  const Change change(*this);
  Model& model = models_.find(job->id.name)->second;
  EndStep(*job);
  if (!job->is_hung) loading_bytes_ -= memory_.TakenBy(job->number);
  review_memory_ = true;
  if (model.config.memory_bytes > 0) taken = {.ram_bytes = model.config.memory_bytes};
  // The reservation was for the peak of the load. From now on it is for the loaded version, if
  // there is one.
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
  // The load succeeded, but its version is not wanted any more.
  if (!model.versions.IsWanted(job)) {
    model.versions.CancelLoad(job);
    Release(job.id, std::move(entry), job.number, /*is_version=*/true);
    return;
  }
  Servable& loaded = entry->servable();
  const SteadyTime now = background_->Now();
  model.versions.FinishLoad(job, std::move(entry), now);
  model.last_used = now;
  model.has_served = true;
  if (model.config.load_mode == LoadMode::kOnDemand) StartLookingAtUse();
  UpdateLookup(model);
  // The report may come on the thread of a request. So the manager acts on it in the background.
  loaded.SetBrokenCallback([this, id = job.id, load = job.number](Status reason) {
    background_->RunAt(background_->Now(),
                       [this, id, load, reason = std::move(reason)] { Retire(id, load, reason); });
  });
}

void Manager::Impl::FailLoad(Model& model, LoadJob& job, const Status& error,
                             uint64_t needed_bytes) {
  --loads_pending_;
  review_memory_ = true;  // other loads may have waited because of this one
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

// --- Time.

void Manager::Impl::BeginStep(LoadJob& job) { job.step_start = background_->Now(); }

void Manager::Impl::EndStep(LoadJob& job) {
  ++job.step;
  job.worked += background_->Now() - std::exchange(job.step_start, kNoDeadline);
}

void Manager::Impl::StartTimeout(const Model& model, const std::shared_ptr<LoadJob>& job) {
  const uint64_t step = ++job->step;
  const Duration timeout = model.config.load_timeout.value_or(options_.load_timeout);
  if (timeout <= Duration::zero()) return;
  background_->RunAt(background_->Now() + timeout,
                     // Weak, so that the timer does not keep a finished load alive.
                     [this, weak = std::weak_ptr<LoadJob>(job), step, timeout] {
                       if (const auto timed = weak.lock()) TimeOut(timed, step, timeout);
                     });
}

void Manager::Impl::TimeOut(const std::shared_ptr<LoadJob>& job, uint64_t step, Duration timeout) {
  const Change change(*this);
  // If the step has changed, the limit was for a step that is over.
  if (job->step != step || job->is_hung) return;
  Model& model = models_.find(job->id.name)->second;
  --loads_pending_;
  background_->NoteHungLoads(1);
  loading_bytes_ -= memory_.TakenBy(job->number);  // 0 while the estimate runs
  review_memory_ = true;
  model.versions.TimeOutLoad(
      *job, Error(StatusCode::kDeadlineExceeded,
                  "loading did not end within {} ms: it was asked to, and is tried again once it "
                  "has ended",
                  std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()));
  Advance(model);
}

void Manager::Impl::EndHungLoad(Model& model, LoadJob& job, std::unique_ptr<Servable> servable) {
  background_->NoteHungLoads(-1);
  review_memory_ = true;
  if (servable != nullptr) {
    Release(job.id, std::make_unique<VersionEntry>(job.id, std::move(servable)), job.number,
            /*is_version=*/false);
  }
  RetryLater(job.id, model.versions.EndHungLoad(job));
}

void Manager::Impl::EndInitialLoad() {
  if (loads_pending_ > 0 || models_.empty()) return;
  // Search from the model that was found last time, once around the map. Sources report one model
  // after another, so each model is passed only once.
  const auto start = models_.lower_bound(untold_);
  auto next = start;
  do {
    if (next == models_.end()) {
      next = models_.begin();
      continue;
    }
    if (next->second.is_configured && !next->second.has_report) {
      untold_ = next->first;
      return;
    }
    ++next;
  } while (next != start);
  is_initial_ = false;
  if (options_.initial_load_threads > 0) background_->SetLoadThreads(options_.load_threads);
}

}  // namespace penstock::core
