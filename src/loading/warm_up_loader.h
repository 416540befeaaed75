// SPDX-License-Identifier: Apache-2.0
// Adds a warm-up to any loader of models.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "core/servable.h"
#include "infer/recent_requests.h"
#include "loading/loader_step.h"
#include "loading/warm_up.h"

namespace penstock {

// Loads a version with another loader, then warms it up: with the recorded requests in its folder,
// or, if it has none, with `recent`, those that the model has answered before. The version adds to
// `recent` what it answers. Null: no recent requests are kept or run. One thread at a time but for
// Cancel. `loader` must make its servables with MakeServedModel. `metrics` and `clock` must outlive
// it.
class WarmUpLoader final : public LoaderStep {
 public:
  WarmUpLoader(core::ServableId id, std::string version_path, WarmUpOptions options,
               std::shared_ptr<RecentRequests> recent, std::unique_ptr<core::Loader> loader,
               MetricsRegistry& metrics, const Clock& clock = Clock::Real())
      : LoaderStep(std::move(loader)),
        id_(std::move(id)),
        version_path_(std::move(version_path)),
        options_(std::move(options)),
        recent_(std::move(recent)),
        metrics_(metrics),
        clock_(clock) {}

  // Errors: those of the loader and of RunWarmUp. If the warm-up fails, the version is unloaded.
  StatusOr<std::unique_ptr<core::Servable>> Load() override EXCLUDES(mutex_);
  // Ends a running load or warm-up soon. Thread-safe.
  void Cancel() override EXCLUDES(mutex_);

 private:
  StatusOr<std::unique_ptr<core::Servable>> LoadAndWarmUp(CancelToken& cancel);
  Status WarmUp(ServedModel& model, CancelToken& cancel);
  // Sets what Cancel cancels. Null: the load is over.
  void SetRunning(CancelToken* cancel) EXCLUDES(mutex_);
  Status WarmUpWithRecent(ServedModel& model, CancelToken& cancel);
  void Record(const Status& status, const WarmUpCounts& counts, Duration time);

  const core::ServableId id_;
  const std::string version_path_;
  const WarmUpOptions options_;
  const std::shared_ptr<RecentRequests> recent_;
  MetricsRegistry& metrics_;
  const Clock& clock_;

  Mutex mutex_;
  CancelToken* running_ GUARDED_BY(mutex_) = nullptr;  // of the load that is under way; else null
};

}  // namespace penstock
