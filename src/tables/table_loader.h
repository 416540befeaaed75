// SPDX-License-Identifier: Apache-2.0
// Loads a version folder that holds a table.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "base/metrics/metrics.h"
#include "base/status.h"
#include "core/loader.h"
#include "infer/engine.h"
#include "infer/model.h"
#include "infer/run_times.h"
#include "tables/manifest.h"
#include "tables/table_model.h"

namespace penstock::tables {

// When the checksums of the files are compared.
enum class TableCheck {
  kNever,
  kLater,  // on a thread of low priority, while the table serves
  kFirst,  // before it is served
};

// Opens the table in the folder `version_path`, and makes its index if there is none. Slow then.
// Errors: those of ReadManifest and MmapStore::Open, and of MmapStore::Check.
StatusOr<std::unique_ptr<Model>> OpenTable(const std::string& version_path,
                                           TableModelOptions options, const std::atomic<bool>& stop,
                                           TableCheck check = TableCheck::kNever);

// Loads a table. Its pages belong to the page cache, so it reserves nearly no memory. One thread at
// a time but for Cancel. The references must outlive it and the loaded version.
class TableLoader final : public core::Loader {
 public:
  TableLoader(core::ServableId id, std::string version_path, const Engine& engine,
              MetricsRegistry& metrics, InlineOptions inline_options, std::string secrets_path = {})
      : id_(std::move(id)),
        version_path_(std::move(version_path)),
        secrets_path_(std::move(secrets_path)),
        engine_(engine),
        metrics_(metrics),
        inline_options_(inline_options) {}

  StatusOr<core::ResourceEstimate> EstimateResources() override;
  StatusOr<std::unique_ptr<core::Servable>> Load() override;
  void Cancel() override { stop_.store(true, std::memory_order_relaxed); }

 private:
  // The most that hot rows may take.
  uint64_t CacheBytes(const Manifest& manifest) const;

  const core::ServableId id_;
  const std::string version_path_;
  const std::string secrets_path_;
  const Engine& engine_;
  MetricsRegistry& metrics_;
  const InlineOptions inline_options_;
  bool has_loaded_ = false;
  std::atomic<bool> stop_{false};
};

}  // namespace penstock::tables
