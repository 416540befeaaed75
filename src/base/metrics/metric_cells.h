// SPDX-License-Identifier: Apache-2.0
// The numbers behind counters and histograms. Each number has an index. Each thread has its own
// cell for each index and is its only writer, so counting needs no lock and shares no cache line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"

namespace penstock {

// The cells of one registry, for all threads. T is uint64_t or double. Thread-safe.
template <typename T>
class MetricCells final : public std::enable_shared_from_this<MetricCells<T>> {
 public:
  // The most numbers that one registry can have.
  static constexpr size_t kCellsMax = size_t{1} << 20;

  MetricCells();  // create it with std::make_shared: threads that end later check whether it still
                  // exists
  ~MetricCells();

  // Allocates `count` adjacent cells, all zero, and returns the first. If none are left, returns
  // cells that all further callers share; Totals shows them as zero. So `count` is at most
  // kSharedCells.
  static constexpr size_t kSharedCells = 256;
  size_t Allocate(size_t count) EXCLUDES(mutex_);

  void Add(size_t cell, T amount) EXCLUDES(mutex_);

  // These sum over all threads, living and ended: one cell, and all cells that were allocated.
  T Total(size_t cell) const EXCLUDES(mutex_);
  std::vector<T> Totals() const EXCLUDES(mutex_);

 private:
  struct ThreadCells;  // the cells of one thread
  class ThreadHolder;  // the cells of one thread in all registries

  void AddSlowly(size_t cell, T amount) EXCLUDES(mutex_);
  ThreadCells& AddThread() EXCLUDES(mutex_);
  // Called when a thread ends. Adds its counts to `ended_`.
  void RemoveThread(const ThreadCells& cells) EXCLUDES(mutex_);

  const uint64_t id_;  // unlike an address, never used for another registry
  mutable Mutex mutex_;
  size_t allocated_ GUARDED_BY(mutex_) = kSharedCells;
  std::vector<std::unique_ptr<ThreadCells>> threads_ GUARDED_BY(mutex_);
  std::vector<T> ended_ GUARDED_BY(mutex_);
};

}  // namespace penstock
