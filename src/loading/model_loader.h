// SPDX-License-Identifier: Apache-2.0
// Loads a version from a folder, through the backend that its content or its configuration names.
#pragma once

#include <optional>
#include <string>

#include "backends/host/backend_host.h"
#include "base/metrics.h"
#include "core/loader.h"
#include "infer/run_times.h"
#include "loading/memory_history.h"

namespace penstock {

// One thread at a time. `host` and `metrics` outlive it and what it loads; `history` lives while it
// is called.
class HostedLoader final : public core::Loader {
 public:
  HostedLoader(core::ServableId id, std::string version_path, LoadOptions options,
               BackendHost& host, MetricsRegistry& metrics, MemoryHistory& history,
               InlineOptions inline_options)
      : id_(std::move(id)),
        version_path_(std::move(version_path)),
        options_(std::move(options)),
        host_(host),
        metrics_(metrics),
        history_(history),
        inline_options_(inline_options) {}

  // By the size of the files, or by what the backend says, and by what was measured of the model.
  StatusOr<core::ResourceEstimate> EstimateResources() override;
  StatusOr<std::unique_ptr<core::Servable>> Load() override;
  StatusOr<core::ResourceEstimate> ResourcesTaken(
      const std::optional<core::MemoryGrowth>& growth) override;

 private:
  const core::ServableId id_;
  const std::string version_path_;
  const LoadOptions options_;
  BackendHost& host_;
  MetricsRegistry& metrics_;
  MemoryHistory& history_;
  const InlineOptions inline_options_;
};

}  // namespace penstock
