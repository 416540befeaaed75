// SPDX-License-Identifier: Apache-2.0
// A store over a cluster of Redis, Valkey or Kvrocks.
#pragma once

#include <memory>
#include <string>

#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "base/status.h"
#include "core/servable.h"
#include "redis/cluster.h"
#include "tables/manifest.h"
#include "tables/redis_rows.h"
#include "tables/redis_settings.h"
#include "tables/store.h"

namespace penstock::tables {

// What a RedisStore needs beside its manifest.
struct RedisStoreOptions {
  core::ServableId id;
  std::string secrets_path;
  MetricsRegistry* metrics = nullptr;  // null: nothing is counted. Outlives the store
};

// Rows in a cluster. The key PREFIX:current names their generation. It is asked for again and
// again, and at once when a node lacks rows of the one that is served. A new one is taken over
// between two requests; a request whose rows have gone with their generation begins anew with the
// new one. Thread-safe.
class RedisStore final : public Store {
 public:
  // Connects, reads the current generation, and warns of settings of the cluster that would make a
  // failure worse. Errors: INVALID_ARGUMENT if the manifest lacks something; NOT_FOUND if the
  // cluster has no such table; UNAVAILABLE if it does not answer.
  static StatusOr<std::unique_ptr<RedisStore>> Open(const Manifest& manifest,
                                                    RedisStoreOptions options);
  ~RedisStore() override;

  const StoreInfo& info() const override { return info_; }
  bool answers_in_find() const override { return false; }
  void Find(const Lookup& lookup, absl::AnyInvocable<void(Status)> done) override EXCLUDES(mutex_);

 private:
  class Poll;

  RedisStore(const Manifest& manifest, const RedisStoreOptions& options);
  Status Connect(const std::string& secrets_path);
  // Asks for the current generation, and does not wait. Called on the cluster's thread, which may
  // be before cluster_ is set.
  void AskForGeneration(redis::Cluster& cluster);
  void TakeGeneration(std::string_view json) EXCLUDES(mutex_);
  // True if requests get their rows from this generation.
  bool IsServed(const ServedGeneration& served) const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return served_.get() == &served;
  }
  // Finds rows. If their generation goes meanwhile, begins anew at most so often.
  void FindIn(const Lookup& lookup, absl::AnyInvocable<void(Status)> done, int anew_max)
      EXCLUDES(mutex_);

  const RedisSettings settings_;
  const std::string current_key_;
  const std::string log_name_;
  StoreInfo info_;
  std::unique_ptr<MetricSeries> series_;
  // Null: they are not counted.
  Counter* generations_ = nullptr;
  Gauge* generation_number_ = nullptr;
  Counter* rows_of_cache_ = nullptr;
  Counter* rows_of_redis_ = nullptr;
  redis::ClusterCounters counters_;
  bool is_polling_ = false;  // of the cluster's thread
  mutable Mutex mutex_;
  // Requests that read of it share it.
  std::shared_ptr<const ServedGeneration> served_ GUARDED_BY(mutex_);
  std::string wrong_json_ GUARDED_BY(mutex_);  // the last one, which the log has
  std::unique_ptr<redis::Cluster> cluster_;    // ends first
};

// Reads the value of PREFIX:current, and checks that its rows are those that the table has. Errors:
// INVALID_ARGUMENT.
StatusOr<Generation> ReadGeneration(std::string_view json, const StoreInfo& info);

// Logs a warning for each setting of the cluster that turns a failure into an outage, or loses
// rows, with the command that mends it.
void WarnOfSettings(redis::Cluster& cluster, const std::string& log_name);

}  // namespace penstock::tables
