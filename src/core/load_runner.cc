// SPDX-License-Identifier: Apache-2.0
// The mutex of the manager guards a LoadJob, but the loader works for seconds or minutes and is
// called without it. So each step is a sandwich: the owner begins the step under the mutex, the
// loader works, and the owner ends the step under the mutex. Between the two anything may happen to
// the version. That is why the owner checks the job again at each end.
//
// `job.step` changes at each begin and end of a step. A timer remembers the value for which it was
// set, so a timer that fires late finds another value and does nothing.
#include "core/load_runner.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

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

// --- Steps.

void LoadRunner::Start(const std::shared_ptr<LoadJob>& job) {
  ++pending_;
  background_.RunLoad([this, job] { RunEstimate(job); }, /*continues=*/false);
}

void LoadRunner::Continue(const std::shared_ptr<LoadJob>& job, std::optional<Duration> limit) {
  LimitStep(job, limit);
  background_.RunLoad([this, job] { RunLoad(job); }, /*continues=*/true);
}

void LoadRunner::RunEstimate(const std::shared_ptr<LoadJob>& job) const {
  StatusOr<ResourceEstimate> estimate = LoadCancelled();
  if (owner_.BeginEstimate(job)) {
    meter_.BeginOther();  // it may open a runtime
    estimate = CallLoader([&] { return job->loader->EstimateResources(); });
    meter_.EndOther();
  }
  owner_.EndEstimate(job, std::move(estimate));
}

void LoadRunner::RunLoad(const std::shared_ptr<LoadJob>& job) const {
  ResourceEstimate taken;
  StatusOr<std::unique_ptr<Servable>> servable = LoadCancelled();
  if (owner_.BeginLoad(job)) {
    taken = job->estimate;
    servable = CallLoad(*job->loader, taken);
  }
  owner_.EndLoad(job, std::move(servable), taken);
}

StatusOr<std::unique_ptr<Servable>> LoadRunner::CallLoad(Loader& loader,
                                                         ResourceEstimate& taken) const {
  const MemoryMeter::Start start = meter_.BeginLoad();
  StatusOr<std::unique_ptr<Servable>> servable = CallLoader([&] { return loader.Load(); });
  const std::optional<MemoryGrowth> growth = meter_.EndLoad(start);
  if (!servable.ok()) return servable;
  if (*servable == nullptr) return absl::InternalError("the loader gave nothing");
  const auto reported = CallLoader([&] { return loader.ResourcesTaken(growth); });
  // The version is loaded. That its memory is unknown is no reason to drop it, so the estimate
  // stays.
  if (reported.ok()) taken = *reported;
  return servable;
}

void LoadRunner::EndStep(LoadJob& job) const {
  ++job.step;
  job.worked += background_.Now() - std::exchange(job.step_start, kNoDeadline);
}

void LoadRunner::End(const LoadJob& job) {
  if (job.is_hung) {
    background_.NoteHungLoads(-1);
  } else {
    --pending_;
  }
}

// --- Time.

void LoadRunner::LimitStep(const std::shared_ptr<LoadJob>& job, std::optional<Duration> limit) {
  const uint64_t step = ++job->step;
  const Duration time = limit.value_or(options_.load_timeout);
  if (time <= Duration::zero()) return;
  background_.RunAt(background_.Now() + time,
                    // Weak, so that the timer does not keep a finished load alive.
                    [this, weak = std::weak_ptr<LoadJob>(job), step, time] {
                      if (const auto limited = weak.lock())
                        owner_.EndTimeLimit(limited, step, time);
                    });
}

bool LoadRunner::GiveUp(const LoadJob& job, uint64_t step) {
  if (job.step != step || job.is_hung) return false;
  --pending_;
  background_.NoteHungLoads(1);
  return true;
}

void LoadRunner::RetryLater(const ServableId& id, int failures) {
  const bool has_retry = options_.load_retries_max < 0 || failures <= options_.load_retries_max;
  if (failures == 0 || !has_retry || !has_retries_) return;
  Duration delay = options_.load_retry_interval;
  for (int i = 1; i < failures && delay < options_.load_retry_interval_max; ++i) delay *= 2;
  delay = std::min(delay, options_.load_retry_interval_max);
  background_.RunAt(background_.Now() + delay,
                    [this, id, failures] { owner_.Retry(id, failures); });
}

}  // namespace penstock::core
