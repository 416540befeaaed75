// SPDX-License-Identifier: Apache-2.0
#include "loading/warm_up_loader.h"

#include "base/log.h"
#include "base/os/give_way.h"
#include "infer/served_model.h"

namespace penstock {

StatusOr<std::unique_ptr<core::Servable>> WarmUpLoader::Load() {
  CancelToken cancel;
  SetRunning(&cancel);
  StatusOr<std::unique_ptr<core::Servable>> servable = LoadAndWarmUp(cancel);
  SetRunning(nullptr);
  return servable;
}

void WarmUpLoader::Cancel() {
  // The load is in one of the two steps. Which one is not known here, so both get the cancel.
  LoaderStep::Cancel();
  MutexLock lock(mutex_);
  if (running_ != nullptr) running_->Cancel();
}

void WarmUpLoader::SetRunning(CancelToken* cancel) {
  MutexLock lock(mutex_);
  running_ = cancel;
}

StatusOr<std::unique_ptr<core::Servable>> WarmUpLoader::LoadAndWarmUp(CancelToken& cancel) {
  // If the warm-up fails, `servable` goes out of scope, which unloads the version.
  ASSIGN_OR_RETURN(std::unique_ptr<core::Servable> servable, loader().Load());
  // All loaders return what MakeServedModel makes, so the cast is safe.
  TRY(WarmUp(static_cast<ServedModel&>(*servable), cancel));
  return servable;
}

Status WarmUpLoader::WarmUp(ServedModel& model, CancelToken& cancel) {
  // Warm-up runs the model for long in a thread of low priority, while other versions serve.
  const GiveWay to_requests;
  WarmUpCounts counts;
  const SteadyTime start = clock_.Now();
  // The check of batching, and the warm-up of later versions without records, need requests.
  RecentRequests* const keep =
      RecentRequests::MayRepeat(model.info().traits) ? recent_.get() : nullptr;
  Status status = RunWarmUp(model, version_path_, options_, keep, cancel, counts);
  // A version without recorded requests has no warm-up to count.
  if (!status.ok() || counts.requests > 0) {
    Record(status, counts, clock_.Now() - start);
  }
  if (!status.ok() || recent_ == nullptr) return status;
  if (counts.requests == 0) TRY(WarmUpWithRecent(model, cancel));
  model.KeepRecent(recent_);
  return OkStatus();
}

Status WarmUpLoader::WarmUpWithRecent(ServedModel& model, CancelToken& cancel) {
  WarmUpCounts counts;
  const SteadyTime start = clock_.Now();
  TRY(RunRecent(model, *recent_, options_, id_, cancel, counts));
  if (counts.requests == 0) return OkStatus();
  PENSTOCK_LOG(kInfo, "warmed up {} with {} recent requests of its model, {} times each, in {} ms",
               id_.ToString(), counts.requests, options_.iterations,
               std::chrono::duration_cast<std::chrono::milliseconds>(clock_.Now() - start).count());
  return OkStatus();
}

void WarmUpLoader::Record(const Status& status, const WarmUpCounts& counts, Duration time) {
  metrics_
      .AddHistogram(":tensorflow:serving:model_warmup_latency",
                    "Time that the warm-up of a version took, microseconds.", LatencyBucketsUs(),
                    {{"model_path", version_path_}, {"status", StatusCodeName(status.code())}})
      .Record(std::chrono::duration<double, std::micro>(time).count());
  metrics_
      .AddCounter(":tensorflow:serving:model_warmup_records_read",
                  "Recorded requests read to warm up a version.", {{"model_path", version_path_}})
      .Add(counts.requests);
  if (!status.ok()) return;  // the manager reports why the load failed
  PENSTOCK_LOG(kInfo, "warmed up {}: {} requests, {} times each, in {} ms", id_.ToString(),
               counts.requests, options_.iterations,
               std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

}  // namespace penstock
