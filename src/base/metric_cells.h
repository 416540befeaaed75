// SPDX-License-Identifier: Apache-2.0
// The numbers behind counters and histograms. Each number has an index; each thread has its own
// cell for each index, which it alone writes, so that counting costs neither a lock nor a shared
// cache line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"

namespace penstock {

// The cells of one registry, of all threads; T is uint64_t or double. Thread-safe.
template <typename T>
class MetricCells final : public std::enable_shared_from_this<MetricCells<T>> {
 public:
  // Numbers that one registry can have.
  static constexpr size_t kCellsMax = size_t{1} << 20;

  MetricCells();  // only by std::make_shared: threads that end later look whether it is still there
  ~MetricCells();

  // The first of `count` adjacent cells, all zero. If there are none left: the first of some cells
  // that all such share and Totals never shows; so `count` is at most kSharedCells.
  static constexpr size_t kSharedCells = 256;
  size_t Allocate(size_t count) EXCLUDES(mutex_);

  void Add(size_t cell, T amount) EXCLUDES(mutex_);

  // The sum over all threads, living and ended: of one cell, and of all that were allocated.
  T Total(size_t cell) const EXCLUDES(mutex_);
  std::vector<T> Totals() const EXCLUDES(mutex_);

 private:
  struct ThreadCells;  // what one thread has
  class ThreadHolder;  // a thread's cells of all registries

  void AddSlowly(size_t cell, T amount) EXCLUDES(mutex_);
  ThreadCells& AddThread() EXCLUDES(mutex_);
  // The thread has ended: what it counted becomes part of `ended_`.
  void RemoveThread(const ThreadCells& cells) EXCLUDES(mutex_);

  const uint64_t id_;  // unlike an address, never used for another registry
  mutable Mutex mutex_;
  size_t allocated_ GUARDED_BY(mutex_) = kSharedCells;
  std::vector<std::unique_ptr<ThreadCells>> threads_ GUARDED_BY(mutex_);
  std::vector<T> ended_ GUARDED_BY(mutex_);
};

}  // namespace penstock
