// SPDX-License-Identifier: Apache-2.0
#include "tables/table_loader.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/os/give_way.h"
#include "infer/served_model.h"
#include "tables/mmap_store.h"
#include "tables/redis_store.h"
#include "tables/vocabulary_model.h"

namespace penstock::tables {
namespace {

// What a version takes beside the page cache: its description, metrics and statistics.
constexpr uint64_t kTableBytes = 256 << 10;

StatusOr<std::string> DefaultRow(const std::string& version_path, const Manifest& manifest,
                                 const StoreInfo& info) {
  if (manifest.default_row.empty()) return std::string();
  StatusOr<std::string> row = MakeRow(manifest.default_row, info.dtype, info.dimension);
  if (!row.ok())
    return InvalidArgument("{}/{}: {}", version_path, kManifestName, MessageOf(row.status()));
  return row;
}

StatusOr<std::unique_ptr<Model>> OpenRedis(const std::string& version_path,
                                           const Manifest& manifest, TableModelOptions options) {
  const std::string& secrets = options.secrets_path.empty() ? version_path : options.secrets_path;
  ASSIGN_OR_RETURN(
      std::unique_ptr<RedisStore> store,
      RedisStore::Open(manifest,
                       {.id = options.id, .secrets_path = secrets, .metrics = options.metrics}));
  ASSIGN_OR_RETURN(options.default_row, DefaultRow(version_path, manifest, store->info()));
  return std::make_unique<TableModel>(std::move(store), std::move(options));
}

}  // namespace

StatusOr<std::unique_ptr<Model>> OpenTable(const std::string& version_path,
                                           TableModelOptions options, const std::atomic<bool>& stop,
                                           TableCheck check) {
  ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(version_path));
  if (manifest.key_type == KeyType::kVocabulary)
    return VocabularyModel::Open(version_path, manifest, std::move(options), stop);
  if (manifest.redis) return OpenRedis(version_path, manifest, std::move(options));
  ASSIGN_OR_RETURN(std::unique_ptr<MmapStore> store, MmapStore::Open(version_path, manifest, stop));
  ASSIGN_OR_RETURN(options.default_row, DefaultRow(version_path, manifest, store->info()));
  if (check == TableCheck::kFirst) {
    // It can be made again from the keys.
    if (store->RemoveDamagedIndex(stop)) {
      ASSIGN_OR_RETURN(store, MmapStore::Open(version_path, manifest, stop));
    }
    TRY(store->Check(stop));
  }
  if (check == TableCheck::kLater) store->CheckInBackground();
  return std::make_unique<TableModel>(std::move(store), std::move(options));
}

uint64_t TableLoader::CacheBytes(const Manifest& manifest) const {
  if (manifest.redis) return manifest.redis->cache_bytes;
  std::error_code error;
  const uint64_t file_bytes =
      std::filesystem::file_size(fmt::format("{}/{}", version_path_, manifest.rows_file), error);
  return error ? 0 : MmapStore::CacheBytes(manifest, file_bytes);
}

StatusOr<core::ResourceEstimate> TableLoader::EstimateResources() {
  // If it cannot be read, the load says so.
  const StatusOr<Manifest> manifest = ReadManifest(version_path_);
  return core::ResourceEstimate{.ram_bytes =
                                    kTableBytes + (manifest.ok() ? CacheBytes(*manifest) : 0)};
}

StatusOr<std::unique_ptr<core::Servable>> TableLoader::Load() {
  stop_.store(false, std::memory_order_relaxed);
  // An index of many keys takes seconds.
  const GiveWay to_requests;
  TableModelOptions options{.id = id_,
                            .default_row = {},
                            .secrets_path = secrets_path_,
                            .metrics = &metrics_,
                            .engine = &engine_};
  ASSIGN_OR_RETURN(std::unique_ptr<Model> model,
                   OpenTable(version_path_, std::move(options), stop_,
                             has_loaded_ ? TableCheck::kFirst : TableCheck::kLater));
  // If it is loaded again, it was broken: a table that is damaged must not come back.
  has_loaded_ = true;
  return MakeServedModel(id_, std::move(model), metrics_, inline_options_);
}

}  // namespace penstock::tables
