// SPDX-License-Identifier: Apache-2.0
// The rows that a cache has on disk.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"
#include "base/status.h"
#include "cache/cached_row.h"
#include "cache/disk_folder.h"
#include "cache/memory_tier.h"
#include "cache/row_mac.h"

namespace penstock::cache {

// Seconds since 1970, as the machine's clock says: rows outlive the process.
int64_t UnixSeconds();

// How a DiskStore works. Plain data.
struct DiskOptions {
  std::string folder;
  uint64_t bytes_max = uint64_t{1} << 30;         // the oldest rows go first
  Duration ttl{0};                                // 0: rows are used for ever
  uint64_t queue_bytes_max = uint64_t{16} << 20;  // rows that wait to be written
  std::function<int64_t()> now = UnixSeconds;
};

// A folder of rows, which one server uses at a time. A thread writes them, in batches; what does
// not fit into its queue is dropped. A database that is damaged is made anew. If the disk is full
// or fails, or the folder has foreign files, the store is off: it finds nothing and takes nothing,
// the log says why, once, and what is on disk stays. Thread-safe.
class DiskStore final {
 public:
  // `model` is for messages and metrics. `metrics` must outlive it. May block.
  DiskStore(DiskOptions options, const std::string& model, MetricsRegistry& metrics);
  // Writes what waits.
  ~DiskStore();

  const DiskOptions& options() const { return options_; }
  bool is_on() const { return is_on_.load(std::memory_order_acquire); }
  // The secret of the keys of these rows, which lies in the folder.
  const MacKey& mac_key() const { return mac_key_; }

  // A row, and how long it may still be used.
  struct Found {
    RowRef row;
    Duration left = Duration::max();
  };
  // Reads a row. Empty: it is not there. May block.
  Found Find(const EntryKey& key);
  // False: the row is surely not on disk. Does not block.
  bool MayHave(const EntryKey& key) const;
  // Has the row written soon. Does not block.
  void Put(const EntryKey& key, RowRef row) EXCLUDES(mutex_);

  // Waits until all that was put is written. For tests.
  void Flush() EXCLUDES(mutex_);
  // What a store takes of memory, about.
  static uint64_t MemoryBytes(const DiskOptions& options);
  // What operators should know, as a JSON object.
  std::string StateJson() const;

 private:
  struct Database;  // the engine
  struct Metrics;
  struct Waiting {
    EntryKey key;
    RowRef row;
  };

  int64_t ttl_seconds() const {
    return std::chrono::duration_cast<std::chrono::seconds>(options_.ttl).count();
  }
  // Errors: DATA_LOSS if what is there cannot be used; else it may be used when the disk works.
  Status OpenDatabase() EXCLUDES(mutex_);
  void CloseDatabase() EXCLUDES(mutex_);
  // Removes what is there, and opens an empty database.
  Status Rebuild(const Status& why) EXCLUDES(mutex_);
  void TurnOff(const Status& why) EXCLUDES(mutex_);
  std::shared_ptr<Database> database() const EXCLUDES(mutex_);
  void Write() EXCLUDES(mutex_);
  Status WriteBatch(const std::deque<Waiting>& rows);
  void CountBytes(const Database& database) const;
  std::string Encode(const EntryKey& key, const CachedRow& row) const;
  Found Decode(const EntryKey& key, std::string_view bytes) const;

  const DiskOptions options_;
  const std::unique_ptr<Metrics> metrics_;
  DiskFolder folder_;
  MacKey mac_key_;
  std::atomic<bool> is_on_{false};

  mutable Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<Database> database_ GUARDED_BY(mutex_);
  std::atomic<int> open_databases_{0};  // database_, and one that readers still use
  std::deque<Waiting> queue_ GUARDED_BY(mutex_);
  uint64_t queue_bytes_ GUARDED_BY(mutex_) = 0;
  bool is_writing_ GUARDED_BY(mutex_) = false;
  Status fault_ GUARDED_BY(mutex_);  // not OK: found by a reader, or by a thread of the database
  bool must_stop_ GUARDED_BY(mutex_) = false;
  std::thread writer_;
};

// The stores of one server: models that name the same folder share one. A store stays open until it
// is asked for with other options and nobody uses it. Thread-safe.
class DiskStores final {
 public:
  // `metrics` must outlive it and the stores.
  explicit DiskStores(MetricsRegistry& metrics) : metrics_(metrics) {}

  // Opens the store of this folder, or returns the open one. May block.
  std::shared_ptr<DiskStore> Open(const DiskOptions& options, const std::string& model)
      EXCLUDES(mutex_);

 private:
  MetricsRegistry& metrics_;
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<DiskStore>> stores_ GUARDED_BY(mutex_);
};

}  // namespace penstock::cache
