// SPDX-License-Identifier: Apache-2.0
// Any loader, and the warm-up of what it loads.
#pragma once

#include <memory>
#include <string>

#include "app/warm_up.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "core/loader.h"
#include "core/servable.h"

namespace penstock {

// One thread at a time. What `loader` loads is made by MakeServedModel. `metrics` and `clock`
// outlive it.
class WarmUpLoader final : public core::Loader {
 public:
  WarmUpLoader(core::ServableId id, std::string version_path, WarmUpOptions options,
               std::unique_ptr<core::Loader> loader, MetricsRegistry& metrics,
               const Clock& clock = Clock::Real())
      : id_(std::move(id)),
        version_path_(std::move(version_path)),
        options_(std::move(options)),
        loader_(std::move(loader)),
        metrics_(metrics),
        clock_(clock) {}

  StatusOr<uint64_t> EstimateResources() override { return loader_->EstimateResources(); }
  // Errors: the loader's own, and RunWarmUp's; what was loaded is then unloaded.
  StatusOr<std::unique_ptr<core::Servable>> Load() override;

 private:
  Status WarmUp(Model& model);
  void Record(const Status& status, const WarmUpCounts& counts, Duration time);

  const core::ServableId id_;
  const std::string version_path_;
  const WarmUpOptions options_;
  const std::unique_ptr<core::Loader> loader_;
  MetricsRegistry& metrics_;
  const Clock& clock_;
};

}  // namespace penstock
