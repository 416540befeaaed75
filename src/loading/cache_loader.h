// SPDX-License-Identifier: Apache-2.0
// Gives a version a cache of its answers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "cache/cache_settings.h"
#include "cache/disk_store.h"
#include "config/cache_config.h"
#include "infer/recent_requests.h"
#include "infer/served_model.h"
#include "loading/loader_step.h"

namespace penstock {

// The settings of a model whose configuration is `config`.
cache::CacheSettings SettingsOf(const CacheConfig& config, const std::string& model,
                                cache::CacheSettings defaults);

// What a CacheLoader needs besides the loader.
struct CacheLoaderOptions {
  core::ServableId id;
  std::string path;  // of the version: a folder, or the name of a built-in model
  cache::CacheSettings settings;
  std::string server_identity = {};  // see ServerIdentity
  // The name of the runtime of a platform. May be empty.
  std::function<std::string(const std::string& platform)> runtime_of = {};
  // Requests of former versions, by which the check tries the new one. May be null.
  std::shared_ptr<RecentRequests> recent = nullptr;
};

// Loads through `loader`, which makes its servables with MakeServedModel and decides first what is
// batched. Then makes a cache for the signatures whose rows do not depend on each other, and logs
// for each other one why it is not cached. The memory of the cache counts as memory of the version.
// One thread at a time but for Cancel.
class CacheLoader final : public LoaderStep {
 public:
  // `metrics` must outlive it and the loaded version; `stores` must outlive it.
  CacheLoader(CacheLoaderOptions options, std::unique_ptr<core::Loader> loader,
              cache::DiskStores& stores, MetricsRegistry& metrics)
      : LoaderStep(std::move(loader)),
        options_(std::move(options)),
        stores_(stores),
        metrics_(metrics) {}

  // Errors: those of the loader; CANCELLED; INVALID_ARGUMENT if the settings name an output that no
  // signature has.
  StatusOr<std::unique_ptr<core::Servable>> Load() override;
  StatusOr<core::ResourceEstimate> EstimateResources() override;
  StatusOr<core::ResourceEstimate> ResourcesTaken(
      const std::optional<core::MemoryGrowth>& growth) override;
  void Cancel() override {
    LoaderStep::Cancel();
    cancel_.Cancel();
  }

 private:
  Status SetUp(ServedModel& model, std::string identity);
  Status CheckOutputs(const ModelInfo& info) const;
  void LogDecision(const std::string& signature, const Status& why_not) const;
  // Returns why the signature is not cached.
  Status Decide(ServedModel& model, uint32_t position);
  // Null: the rows are in memory only.
  std::shared_ptr<cache::DiskStore> OpenStore();
  core::ResourceEstimate WithMemory(core::ResourceEstimate estimate) const;

  const CacheLoaderOptions options_;
  cache::DiskStores& stores_;
  MetricsRegistry& metrics_;
  CancelToken cancel_;
  bool has_cache_ = false;  // after the load: it takes memory
};

}  // namespace penstock
