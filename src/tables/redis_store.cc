// SPDX-License-Identifier: Apache-2.0
#include "tables/redis_store.h"

#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/log.h"
#include "tables/redis_rows.h"

namespace penstock::tables {
namespace {

// How often a request begins anew because the generation of its rows has gone.
constexpr int kAnewMax = 3;

constexpr std::string_view kCommandsName = "penstock_table_redis_commands_total";
constexpr std::string_view kCommandsHelp =
    "Commands to a Redis cluster that did not go to the master once: to a replica (replica), to a "
    "second node because the first one was late (hedge), to a node that another one has named "
    "(redirect), or again for another reason (retry).";

constexpr std::string_view kLayersName = "penstock_table_layer_rows_total";
constexpr std::string_view kLayersHelp =
    "Keys of requests to a table in Redis, by what knew their rows, or that there are none: the "
    "cache of hot rows (cache), or Redis (redis).";

MetricLabels RedisLabels(const core::ServableId& id) {
  return {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}};
}

redis::ClusterCounters AddRedisCounters(const core::ServableId& id, MetricSeries& series) {
  const auto command = [&](std::string_view kind) {
    MetricLabels labels = RedisLabels(id);
    labels.emplace_back("kind", kind);
    return &series.AddCounter(kCommandsName, kCommandsHelp, labels);
  };
  return {.replica_reads = command("replica"),
          .hedges = command("hedge"),
          .redirects = command("redirect"),
          .retries = command("retry"),
          .node_failures = &series.AddCounter(
              "penstock_table_redis_node_failures_total",
              "Connections to nodes of a Redis cluster that were lost, or could not be made.",
              RedisLabels(id)),
          .refreshes = &series.AddCounter("penstock_table_redis_slot_maps_total",
                                          "How often the slots of a Redis cluster were read.",
                                          RedisLabels(id))};
}

}  // namespace

// Asks once for the current generation. One thread at a time.
class RedisStore::Poll final : public redis::Batch {
 public:
  explicit Poll(RedisStore& store) : store_(store) {
    const std::array<std::string_view, 2> arguments = {"GET", store.current_key_};
    commands = redis::MakeCommand(arguments);
    reads.push_back({.slot = redis::SlotOf(store.current_key_),
                     .begin = 0,
                     .bytes = static_cast<uint32_t>(commands.size())});
  }
  bool Take(size_t, size_t, const redis::Token& token) override {
    json_ = token.text;
    return token.kind == redis::TokenKind::kBulk;
  }
  std::string NameOf(size_t) const override { return store_.current_key_; }
  // If it fails, the next one comes soon.
  void Done(Status status) override {
    store_.is_polling_ = false;
    if (status.ok()) store_.TakeGeneration(json_);
  }

 private:
  RedisStore& store_;
  std::string json_;
};

StatusOr<std::unique_ptr<RedisStore>> RedisStore::Open(const Manifest& manifest,
                                                       RedisStoreOptions options) {
  if (!manifest.dtype || !manifest.dimension)
    return InvalidArgument("{} must say the 'dtype' and the 'dimension' of rows in Redis",
                           kManifestName);
  if (manifest.shard.count > 1)
    return InvalidArgument("{}: a table in Redis has no 'shard'; the cluster divides it",
                           kManifestName);
  std::unique_ptr<RedisStore> store(new RedisStore(manifest, options));
  TRY(store->Connect(options.secrets_path));
  return store;
}

RedisStore::RedisStore(const Manifest& manifest, const RedisStoreOptions& options)
    : settings_(*manifest.redis),
      current_key_(settings_.prefix + ":current"),
      log_name_(options.id.name.empty() ? settings_.prefix : options.id.ToString()) {
  info_.key_type = *manifest.key_type;
  info_.dtype = *manifest.dtype;
  info_.dimension = *manifest.dimension;
  info_.row_bytes = info_.dimension * DTypeBytes(info_.dtype);
  if (options.metrics == nullptr) return;
  series_ = std::make_unique<MetricSeries>(*options.metrics);
  generations_ = &series_->AddCounter("penstock_table_generations_total",
                                      "Generations of a table in Redis that were taken over.",
                                      RedisLabels(options.id));
  generation_number_ =
      &series_->AddGauge("penstock_table_generation",
                         "The current generation of a table in Redis; 0 if its name is no number.",
                         RedisLabels(options.id));
  const auto layer = [&](std::string_view name) {
    MetricLabels labels = RedisLabels(options.id);
    labels.emplace_back("layer", name);
    return &series_->AddCounter(kLayersName, kLayersHelp, labels);
  };
  rows_of_cache_ = layer("cache");
  rows_of_redis_ = layer("redis");
  counters_ = AddRedisCounters(options.id, *series_);
}

RedisStore::~RedisStore() = default;

StatusOr<Generation> ReadGeneration(std::string_view json, const StoreInfo& info) {
  ASSIGN_OR_RETURN(Generation generation, ParseGeneration(json, info.key_type == KeyType::kDense));
  const std::string_view key_type = KeyTypeName(info.key_type);
  const std::string_view dtype = DTypeName(info.dtype);
  if ((generation.key_type.empty() || generation.key_type == key_type) &&
      (generation.dtype.empty() || generation.dtype == dtype) &&
      (generation.dimension == 0 || generation.dimension == info.dimension))
    return generation;
  return InvalidArgument(
      "generation '{}' has rows of {} {} elements, with {} keys; not of {} {}, with {} keys",
      generation.name, generation.dimension, generation.dtype, generation.key_type, info.dimension,
      dtype, key_type);
}

Status RedisStore::Connect(const std::string& secrets_path) {
  ASSIGN_OR_RETURN(redis::ClusterOptions options,
                   MakeClusterOptions(settings_, secrets_path, info_.row_bytes));
  options.counters = counters_;
  options.poll = [this](redis::Cluster& cluster) { AskForGeneration(cluster); };
  ASSIGN_OR_RETURN(cluster_, redis::Cluster::Open(std::move(options)));
  const std::array<std::string_view, 2> arguments = {"GET", current_key_};
  ASSIGN_OR_RETURN(const redis::Value value,
                   cluster_->Call(current_key_, redis::MakeCommand(arguments)));
  if (value.kind != redis::TokenKind::kBulk)
    return Error(StatusCode::kNotFound,
                 "the Redis cluster has no key '{}', which names the current generation of rows",
                 current_key_);
  const StatusOr<Generation> generation = ReadGeneration(value.text, info_);
  if (!generation.ok())
    return InvalidArgument("the value of '{}' in Redis is wrong: {}", current_key_,
                           MessageOf(generation.status()));
  info_.rows = generation->rows;
  TakeGeneration(value.text);
  WarnOfSettings(*cluster_, log_name_);
  return OkStatus();
}

void RedisStore::AskForGeneration(redis::Cluster& cluster) {
  if (is_polling_) return;
  is_polling_ = cluster.Submit(std::make_shared<Poll>(*this));
}

void RedisStore::TakeGeneration(std::string_view json) {
  StatusOr<Generation> generation = ReadGeneration(json, info_);
  if (!generation.ok()) {
    {
      MutexLock lock(mutex_);
      if (std::exchange(wrong_json_, json) == json) return;
    }
    PENSTOCK_LOG(kWarning,
                 "{}: the value of '{}' in Redis is wrong, so the rows stay those of before: {}",
                 log_name_, current_key_, MessageOf(generation.status()));
    return;
  }
  {
    MutexLock lock(mutex_);
    if (served_ != nullptr && served_->generation == *generation) return;
  }
  // Rows of another generation would be wrong, so the cache begins anew.
  StatusOr<std::unique_ptr<HotRows>> hot = HotRows::Make(info_, settings_.cache_bytes);
  if (!hot.ok()) {
    PENSTOCK_LOG(kWarning, "{}: {}", log_name_, MessageOf(hot.status()));
    hot = std::unique_ptr<HotRows>();
  }
  auto served = std::make_shared<const ServedGeneration>(*generation, *std::move(hot));
  {
    MutexLock lock(mutex_);
    // The poll and the open may have read it at the same time.
    if (served_ != nullptr && served_->generation == *generation) return;
    served_.swap(served);
  }
  if (generations_ != nullptr) {
    generations_->Add(1);
    uint64_t number = 0;
    if (!absl::SimpleAtoi(generation->name, &number)) number = 0;
    generation_number_->Set(static_cast<double>(number));
  }
  PENSTOCK_LOG(kInfo, "{}: the rows are now those of generation {} in Redis", log_name_,
               generation->name);
}

void RedisStore::Find(const Lookup& lookup, absl::AnyInvocable<void(Status)> done) {
  FindIn(lookup, std::move(done), kAnewMax);
}

void RedisStore::FindIn(const Lookup& lookup, absl::AnyInvocable<void(Status)> done, int anew_max) {
  std::shared_ptr<const ServedGeneration> served;
  {
    MutexLock lock(mutex_);
    served = served_;
  }
  AskedKeys asked = AskedKeys::AllOf(info_, lookup);
  const size_t keys = asked.positions.size();
  if (served->hot != nullptr) asked.positions = served->hot->Find(lookup, asked.hashes);
  if (rows_of_cache_ != nullptr) {
    const size_t missing = asked.positions.size();
    if (missing < keys) rows_of_cache_->Add(keys - missing);
    if (missing > 0) rows_of_redis_->Add(missing);
  }
  if (asked.positions.empty()) return done(OkStatus());
  const auto is_current = [this, &generation = *served] {
    AskForGeneration(*cluster_);
    return IsServed(generation);
  };
  // Shares the generation, so that no new one is taken for it.
  auto end = [this, lookup, anew_max, served, done = std::move(done)](Status status) mutable {
    const bool has_gone = !status.ok() && anew_max > 0 && !IsServed(*served);
    // Also the rows that the cache had are of the generation that has gone.
    if (has_gone) return FindIn(lookup, std::move(done), anew_max - 1);
    done(std::move(status));
  };
  auto rows = std::make_shared<RedisRows>(info_, settings_.prefix, std::move(served), lookup,
                                          std::move(asked), is_current, std::move(end));
  if (cluster_->Submit(rows)) return;
  rows->Done(Error(StatusCode::kUnavailable,
                   "too many requests of this table wait for Redis ('requests_max' in {})",
                   kManifestName));
}

}  // namespace penstock::tables
