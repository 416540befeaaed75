// SPDX-License-Identifier: Apache-2.0
// Loads a version from a folder, with the backend for its files or for its configured platform.
#pragma once

#include <optional>
#include <string>

#include "backends/host/backend_host.h"
#include "base/metrics/metrics.h"
#include "core/loader.h"
#include "infer/run_times.h"
#include "loading/memory_history.h"

namespace penstock {

// Loads versions that a backend runs, and remembers their memory. It is the innermost loader of
// every model with files; ExampleLoader and WarmUpLoader wrap it. The size of the files is only a
// guess of what a loaded model takes, so the measurements of former versions correct it. One thread
// at a time. `host` and `metrics` must outlive it and the loaded version; `history` must outlive
// every call of it.
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

  // Estimates the memory from the size of the files, or asks the backend. Then corrects it by the
  // measurements of the model's former versions.
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
