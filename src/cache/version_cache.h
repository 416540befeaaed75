// SPDX-License-Identifier: Apache-2.0
// What the cache of one version knows: its rows, those that are being computed, and its metrics.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "cache/cache_settings.h"
#include "cache/cached_row.h"
#include "cache/disk_store.h"
#include "cache/flights.h"
#include "cache/memory_tier.h"
#include "cache/row_mac.h"
#include "core/servable.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock::cache {

// The rows and outputs that one request wants, and what the cache has of them. One thread at a
// time.
struct Lookup {
  uint32_t signature = 0;  // its position
  int64_t rows = 0;
  absl::InlinedVector<uint32_t, 4> outputs;  // positions, in the order of the answer
  absl::InlinedVector<RowKey, 4> keys;       // one for each row
  absl::InlinedVector<RowRef, 4> values;     // row by row, one for each of `outputs`
  size_t found = 0;                          // of `values`

  RowRef& value(int64_t row, size_t output) {
    return values[static_cast<size_t>(row) * outputs.size() + output];
  }
  bool is_complete() const { return found == values.size(); }
  // The outputs that the row lacks.
  OutputSet Missing(int64_t row);
};

// How a version is cached.
struct VersionCacheOptions {
  core::ServableId id;
  std::string identity;  // names the version, and changes when its files change
  CacheSettings settings;
};

// The parts that the requests of one version share. Requests keep it alive. Thread-safe. `info` and
// `metrics` must outlive the version.
class VersionCache final {
 public:
  // `disk` is null if there is no disk tier. `key` is its key then, if there is one.
  VersionCache(const ModelInfo& info, VersionCacheOptions options, const MacKey& key,
               std::shared_ptr<DiskStore> disk, MetricsRegistry& metrics);

  // Starts to cache the answers of this signature. Call it before the model serves.
  void TurnOn(uint32_t signature);
  // Says why a signature is not cached. Call it before the model serves.
  void Refuse(uint32_t signature, Status why) { states_[signature].why_not = std::move(why); }
  // The answers are not what the cache expects: it leaves the signature alone from now on.
  void TurnOff(uint32_t signature, const Status& why) EXCLUDES(mutex_);
  bool IsOn(uint32_t signature) const {
    return states_[signature].is_on.load(std::memory_order_relaxed);
  }

  // Sets what the request wants, but for the keys. Returns false if the cache cannot answer it: its
  // signature is not cached, it has no rows, or it wants outputs that are not kept.
  bool Describe(const InferRequest& request, Lookup& lookup) const;
  // Computes the keys.
  void ComputeKeys(const InferRequest& request, Lookup& lookup) const {
    row_keys_.Compute(info_.signatures[lookup.signature].name, request, lookup.rows, lookup.keys);
    lookup.values.resize(lookup.keys.size() * lookup.outputs.size());
  }
  // Finds the values that are in memory.
  void Find(Lookup& lookup, SteadyTime now);
  // Finds those that one row lacks. Returns true if it lacks none then.
  bool FindRow(Lookup& lookup, int64_t row, SteadyTime now);
  // True if values that the lookup lacks may be on disk. Does not block.
  bool MayBeOnDisk(const Lookup& lookup) const;
  // Finds those that are on disk, and keeps them in memory. May block.
  void FindOnDisk(Lookup& lookup, SteadyTime now);
  // Keeps a row of an output.
  void Keep(const EntryKey& key, const RowRef& row, SteadyTime now);

  // Returns the answer of a lookup that is complete. The names are those of the signature. Errors:
  // those of JoinRows.
  StatusOr<NamedTensors> Answer(const Lookup& lookup, RequestMemory& memory) const;

  const ModelInfo& info() const { return info_; }
  Flights& flights() { return flights_; }
  bool has_disk() const { return disk_ != nullptr && disk_->is_on(); }
  bool has_ttl() const { return options_.settings.ttl > Duration::zero(); }
  std::string StateJson() const EXCLUDES(mutex_);

  // Counts the outcome of a request that has been answered, or runs.
  void CountRequest(CacheOutcome outcome) const;
  void CountRows(size_t found, size_t found_on_disk, size_t missing) const {
    if (found > 0) hits_.Add(found);
    if (found_on_disk > 0) disk_hits_.Add(found_on_disk);
    if (missing > 0) misses_.Add(missing);
  }
  Counter& joined() const { return joined_; }
  Histogram& lookup_time() const { return lookup_time_; }

 private:
  struct State {
    std::atomic<bool> is_on{false};
    OutputSet kept = 0;
    Status why_not = OkStatus();  // guarded by mutex_ once the model serves
  };

  const ModelInfo& info_;
  const VersionCacheOptions options_;
  const RowKeys row_keys_;
  MetricSeries series_;
  Counter& hits_;
  Counter& disk_hits_;
  Counter& misses_;
  Counter& joined_;
  Counter& hit_requests_;
  Counter& partial_requests_;
  Counter& miss_requests_;
  Histogram& lookup_time_;
  const std::shared_ptr<DiskStore> disk_;
  MemoryTier memory_;
  Flights flights_;
  std::vector<State> states_;  // one for each signature; fixed
  mutable Mutex mutex_;
};

}  // namespace penstock::cache
