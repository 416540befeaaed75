// SPDX-License-Identifier: Apache-2.0
// Each thread has its own chunks of cells in each registry. Adding finds the thread's chunk through
// a thread_local pointer and writes it without a lock or a read-modify-write, because no other
// thread writes there. Reading sums the cells of all threads under the mutex. When a thread ends,
// its counts move to `ended_`. A counter may also be used after that, by destructors of other
// thread_local objects: such a count goes to `ended_` under the mutex.
#include "base/metrics/metric_cells.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

namespace penstock {
namespace {

// A thread that counts little needs little memory: a chunk of 4 KiB for each range of cells that it
// uses.
constexpr size_t kChunkCells = 512;

uint64_t NextId() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

// The cells of one thread. The thread writes them; any thread that sums reads them. Chunks are
// allocated when a cell in them is first used.
template <typename T>
struct MetricCells<T>::ThreadCells {
  using Chunk = std::array<std::atomic<T>, kChunkCells>;

  ~ThreadCells() {
    for (std::atomic<Chunk*>& chunk : chunks) delete chunk.load(std::memory_order_relaxed);
  }

  void Add(size_t cell, T amount) {
    Chunk* chunk = chunks[cell / kChunkCells].load(std::memory_order_relaxed);
    if (chunk == nullptr) [[unlikely]] {
      chunk = new Chunk();
      // Release, so that a thread that sums sees zeros in the new chunk, and not what was in the
      // memory before.
      chunks[cell / kChunkCells].store(chunk, std::memory_order_release);
    }
    std::atomic<T>& sum = (*chunk)[cell % kChunkCells];
    // A load and a store are enough, because no other thread writes here. They are atomic only so
    // that a scrape reads whole values.
    sum.store(sum.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }

  T Value(size_t cell) const {
    const Chunk* chunk = chunks[cell / kChunkCells].load(std::memory_order_acquire);
    return chunk == nullptr ? T() : (*chunk)[cell % kChunkCells].load(std::memory_order_relaxed);
  }

  std::array<std::atomic<Chunk*>, kCellsMax / kChunkCells> chunks = {};
};

// Finds the thread's cells. One thread. The destructor runs when the thread ends, and adds its
// counts to `ended_` of each registry.
template <typename T>
class MetricCells<T>::ThreadHolder final {
 public:
  // The cells that this thread used last. It has no destructor, so that it can be used at any time.
  struct Last {
    uint64_t registry_id = 0;
    ThreadCells* cells = nullptr;
    bool thread_is_ending = false;
  };
  static inline thread_local constinit Last last;

  ~ThreadHolder() {
    last = {0, nullptr, true};
    for (const Entry& entry : entries_) {
      // The registry may have been destroyed before the thread. It has freed the cells then.
      if (const auto registry = entry.registry.lock()) registry->RemoveThread(*entry.cells);
    }
  }

  ThreadCells& Find(MetricCells& registry) {
    for (const Entry& entry : entries_) {
      if (entry.registry_id == registry.id_) return *entry.cells;
    }
    // This path is rare, so it also forgets registries that are gone. Otherwise the list of a
    // long-lived thread would only grow.
    std::erase_if(entries_, [](const Entry& entry) { return entry.registry.expired(); });
    ThreadCells& cells = registry.AddThread();
    entries_.push_back({registry.id_, registry.weak_from_this(), &cells});
    return cells;
  }

 private:
  struct Entry {
    uint64_t registry_id;
    std::weak_ptr<MetricCells> registry;
    ThreadCells* cells;  // owned by the registry
  };
  std::vector<Entry> entries_;
};

template <typename T>
MetricCells<T>::MetricCells() : id_(NextId()) {}

template <typename T>
MetricCells<T>::~MetricCells() = default;

template <typename T>
size_t MetricCells<T>::Allocate(size_t count) {
  MutexLock lock(mutex_);
  if (count > kCellsMax - allocated_) return 0;
  return std::exchange(allocated_, allocated_ + count);
}

template <typename T>
void MetricCells<T>::Add(size_t cell, T amount) {
  const auto& last = ThreadHolder::last;
  // A server has one registry, so the last one used is nearly always the right one. The id is
  // compared, not the address: a new registry may lie where an old one was.
  if (last.registry_id == id_) [[likely]] {
    last.cells->Add(cell, amount);
  } else {
    AddSlowly(cell, amount);
  }
}

template <typename T>
void MetricCells<T>::AddSlowly(size_t cell, T amount) {
  auto& last = ThreadHolder::last;
  if (last.thread_is_ending) {  // the destructor of another thread_local counts
    MutexLock lock(mutex_);
    if (ended_.size() <= cell) ended_.resize(cell + 1);
    ended_[cell] += amount;
    return;
  }
  static thread_local ThreadHolder holder;
  last = {id_, &holder.Find(*this), false};
  last.cells->Add(cell, amount);
}

template <typename T>
typename MetricCells<T>::ThreadCells& MetricCells<T>::AddThread() {
  MutexLock lock(mutex_);
  return *threads_.emplace_back(std::make_unique<ThreadCells>());
}

template <typename T>
void MetricCells<T>::RemoveThread(const ThreadCells& cells) {
  MutexLock lock(mutex_);
  ended_.resize(std::max(ended_.size(), allocated_));
  for (size_t cell = 0; cell < allocated_; ++cell) ended_[cell] += cells.Value(cell);
  std::erase_if(threads_, [&](const auto& thread) { return thread.get() == &cells; });
}

template <typename T>
T MetricCells<T>::Total(size_t cell) const {
  if (cell < kSharedCells) return T();  // as in Totals
  MutexLock lock(mutex_);
  T total = cell < ended_.size() ? ended_[cell] : T();
  for (const auto& thread : threads_) total += thread->Value(cell);
  return total;
}

template <typename T>
std::vector<T> MetricCells<T>::Totals() const {
  MutexLock lock(mutex_);
  std::vector<T> totals = ended_;
  totals.resize(allocated_);
  // The shared cells mix the counts of unrelated metrics, so their sums mean nothing.
  std::fill_n(totals.begin(), kSharedCells, T());
  for (const auto& thread : threads_) {
    for (size_t cell = kSharedCells; cell < allocated_; ++cell) totals[cell] += thread->Value(cell);
  }
  return totals;
}

template class MetricCells<uint64_t>;
template class MetricCells<double>;

}  // namespace penstock
