// SPDX-License-Identifier: Apache-2.0
// How many rows of a model should run together, by the measured times of its runs.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "infer/batcher.h"

namespace penstock::batch {

inline constexpr int64_t kBatchRowsMax = 1024;         // the default of max_batch_size
inline constexpr int64_t kBatchRowsLimit = 1'000'000;  // its largest value

// Keeps the mean time for a row by the size of the batch, in powers of two. The limit is the least
// size that takes at most kSlower times as long for a row as the best size: larger batches would
// make requests wait, and win nothing. A size that was not tried yet counts as better than the one
// below it. So the limit grows by one power of two at a time, and only while requests wait. Now and
// then the next larger size is tried again, because times change. Thread-safe.
class BatchLimit final {
 public:
  explicit BatchLimit(int64_t rows_max = kBatchRowsMax);

  // The most rows of the next batch. Between 1 and the limit that was set.
  int64_t rows() const { return rows_.load(std::memory_order_relaxed); }
  // A batch of `rows` rows took `time`.
  void Record(int64_t rows, Duration time) EXCLUDES(mutex_);
  // The sizes that were measured, ascending.
  std::vector<BatchTime> Curve() const EXCLUDES(mutex_);

 private:
  static constexpr size_t kSizes = 21;  // up to about a million rows

  int64_t Best() const REQUIRES(mutex_);

  const int64_t rows_max_;
  std::atomic<int64_t> rows_;
  mutable Mutex mutex_;
  std::array<double, kSizes> row_time_ns_ GUARDED_BY(mutex_) = {};  // 0: not measured
  std::array<uint64_t, kSizes> batches_ GUARDED_BY(mutex_) = {};    // that were measured
  uint64_t full_batches_ GUARDED_BY(mutex_) = 0;
};

}  // namespace penstock::batch
