// SPDX-License-Identifier: Apache-2.0
#include "batch/batch_limit.h"

#include <algorithm>
#include <bit>

namespace penstock::batch {
namespace {

// A smaller batch is preferred to the best one if a row takes at most this much longer in it.
constexpr double kSlower = 1.01;
// The share of a new time in the mean. A shorter time counts more: the first run of a size often
// takes longer than all others.
constexpr double kNewShare = 1.0 / 8;
constexpr double kNewShorterShare = 1.0 / 2;
// After so many batches of the size of the limit, one may be larger.
constexpr uint64_t kTryLargerAfter = 128;
// A size is judged only by so many batches.
constexpr uint64_t kJudgedAfter = 4;
// The limit before anything was measured. Most models gain up to here.
constexpr int64_t kFirstRows = 16;

// Size i counts batches of more than 2^(i-1) rows, up to 2^i.
size_t SizeOf(int64_t rows) {
  return static_cast<size_t>(std::bit_width(static_cast<uint64_t>(rows) - 1));
}

int64_t RowsMaxOf(size_t size) { return int64_t{1} << size; }

}  // namespace

BatchLimit::BatchLimit(int64_t rows_max)
    : rows_max_(std::max<int64_t>(rows_max, 1)), rows_(std::min(kFirstRows, rows_max_)) {}

void BatchLimit::Record(int64_t rows, Duration time) {
  const size_t size = rows < 1 ? kSizes : SizeOf(rows);
  if (size >= kSizes) return;
  const double row_time =
      std::max(static_cast<double>(time.count()), 1.0) / static_cast<double>(rows);
  MutexLock lock(mutex_);
  double& mean = row_time_ns_[size];
  mean = mean == 0 ? row_time
                   : mean + (row_time - mean) * (row_time < mean ? kNewShorterShare : kNewShare);
  ++batches_[size];
  int64_t best = Best();
  if (size == SizeOf(best) && ++full_batches_ % kTryLargerAfter == 0) best *= 2;
  rows_.store(std::clamp<int64_t>(best, 1, rows_max_), std::memory_order_relaxed);
}

int64_t BatchLimit::Best() const {
  double least = 0;
  size_t largest = 0;
  for (size_t size = 0; size < kSizes; ++size) {
    if (row_time_ns_[size] == 0) continue;
    if (least == 0 || row_time_ns_[size] < least) least = row_time_ns_[size];
    largest = size;
  }
  if (RowsMaxOf(largest) < std::min(kFirstRows, rows_max_)) return kFirstRows;
  if (batches_[largest] < kJudgedAfter) return RowsMaxOf(largest);
  for (size_t size = 0; size < largest; ++size) {
    if (row_time_ns_[size] != 0 && row_time_ns_[size] <= least * kSlower) return RowsMaxOf(size);
  }
  // The largest size is the best one, so a still larger one may be better.
  return row_time_ns_[largest] <= least * kSlower ? RowsMaxOf(largest) * 2 : RowsMaxOf(largest);
}

std::vector<BatchTime> BatchLimit::Curve() const {
  std::vector<BatchTime> curve;
  MutexLock lock(mutex_);
  for (size_t size = 0; size < kSizes; ++size) {
    if (row_time_ns_[size] != 0) curve.push_back({RowsMaxOf(size), row_time_ns_[size]});
  }
  return curve;
}

}  // namespace penstock::batch
