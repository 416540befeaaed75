// SPDX-License-Identifier: Apache-2.0
// How requests find and pin a version without a lock, and without a write to a cache line that
// another thread writes.
//
// All ready versions are in one immutable Snapshot behind an atomic pointer. Two kinds of objects
// must not be freed too early: a snapshot that a thread searches, and a version that a handle pins.
// The users of both are counted in per-thread cells (base/thread_slot.h). One background thread
// reads the cells and frees the objects, so that requests never wait for this. The proof that
// this is safe:
//
// 1. Snapshot. A reader adds 1 to its cell, loads the pointer, searches, and subtracts 1. After a
//    new snapshot is published, the background thread waits until it has seen each cell at 0 once.
//    All these operations are sequentially consistent, except the subtraction, which is a release.
//    Take one cell and the background thread's load that saw 0 in it. If a reader's addition comes
//    after this load, then the reader also loads the pointer after the publication: it gets the new
//    snapshot. If the addition comes before this load, then the reader has already subtracted,
//    because the cell was 0, and its search happens before the load. In both cases nobody searches
//    the old snapshot. Publishing itself waits for nobody.
// 2. Version. Taking a handle adds 1 to the version's `taken` in the thread's cell. Dropping a
//    handle adds 1 to `dropped` in the cell of the thread that drops it. So only the sums over all
//    threads have a meaning. A new handle comes from a reader as in (1), or from a copy of a living
//    handle. Once no published snapshot has the version, and the wait of (1) is over, only copies
//    remain. Then the background thread sums up all `dropped` first, and all `taken` after that.
//    Consider a moment between the two sums. At least as many handles were dropped as the first sum
//    says, and at most as many were taken as the second sum says. So if the sums are equal, no
//    handle lived at that moment, and none can come to life later. (Memory order: a thread copies a
//    handle before the original is dropped. That drop is a release, and reading it is an acquire.
//    So if the first sum includes the drop, the second sum includes the copy. In the same way every
//    use of the version happens before its destruction.)
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/persistent_map.h"
#include "base/status.h"
#include "base/string_map.h"
#include "base/thread_slot.h"
#include "core/servable.h"

namespace penstock::core {

// One Cell per thread, each in its own cache line. Thread-safe.
template <typename Cell>
class ThreadCells {
 public:
  Cell& Mine() { return cells_[static_cast<size_t>(ThreadSlot())].cell; }

  template <typename Function>
  void ForEach(Function function) const {
    for (const Line& line : cells_) function(line.cell);
  }

 private:
  struct alignas(64) Line {
    Cell cell{};
  };
  std::array<Line, kThreadSlots> cells_;
};

// One loaded version and the number of its handles. Thread-safe.
class VersionEntry {
 public:
  VersionEntry(ServableId id, std::unique_ptr<Servable> servable)
      : id_(std::move(id)), servable_(std::move(servable)) {}

  const ServableId& id() const { return id_; }
  Servable& servable() const { return *servable_; }

  void Ref() { handles_.Mine().taken.fetch_add(1, std::memory_order_relaxed); }
  void Unref() { handles_.Mine().dropped.fetch_add(1, std::memory_order_release); }
  // Grows whenever a handle is taken. May lag behind other threads.
  uint64_t Uses() const {
    uint64_t taken = 0;
    handles_.ForEach(
        [&](const HandleCounts& counts) { taken += counts.taken.load(std::memory_order_relaxed); });
    return taken;
  }
  // Call it only when requests cannot find the version any more. Then false means that the version
  // may be destroyed.
  bool HasHandles() const {
    uint64_t dropped = 0;
    handles_.ForEach([&](const HandleCounts& counts) {
      dropped += counts.dropped.load(std::memory_order_acquire);
    });
    uint64_t taken = 0;
    handles_.ForEach(
        [&](const HandleCounts& counts) { taken += counts.taken.load(std::memory_order_acquire); });
    return taken != dropped;
  }

 private:
  struct HandleCounts {
    std::atomic<uint64_t> taken{0};
    std::atomic<uint64_t> dropped{0};
  };

  const ServableId id_;
  const std::unique_ptr<Servable> servable_;
  ThreadCells<HandleCounts> handles_;
};

// The models and versions that requests can find. Immutable after it is published.
struct Snapshot {
  struct Model {
    std::vector<VersionEntry*> ready;  // newest first
    // Aspired versions that were taken from service because they broke, and why; newest first.
    std::vector<std::pair<VersionNumber, Status>> broken;
    StringMap<VersionNumber> labels;
    Status absent;           // the reason if the load mode is why nothing is ready; else OK
    bool on_demand = false;  // a request starts its load
    bool counts_as_ready = false;
    bool is_expected = true;   // false: its load mode is kNever
    bool is_of_start = false;  // configured before the manager was ready for the first time
    bool has_served = false;   // has had a version ready since it was configured

    bool is_established() const { return is_of_start || has_served; }
  };
  // Every configured model. Snapshots share the models that did not change between them. So the
  // cost of publishing one does not depend on the number of models.
  PersistentMap<std::shared_ptr<const Model>> models;
  bool is_ready = true;  // by ReadinessRule
};

// The current snapshot. Thread-safe.
class SnapshotCell {
 public:
  SnapshotCell() : current_(new Snapshot) {}
  ~SnapshotCell() { delete current_.load(); }
  SnapshotCell(const SnapshotCell&) = delete;
  SnapshotCell& operator=(const SnapshotCell&) = delete;

  // Keeps the snapshot alive that was current at its construction. Destroy it soon, because it
  // delays the freeing of old snapshots. One thread at a time.
  class Reader {
   public:
    explicit Reader(SnapshotCell& cell) : inside_(cell.readers_.Mine()) {
      inside_.fetch_add(1, std::memory_order_seq_cst);
      snapshot_ = cell.current_.load(std::memory_order_seq_cst);
    }
    ~Reader() { inside_.fetch_sub(1, std::memory_order_release); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    const Snapshot& operator*() const { return *snapshot_; }
    const Snapshot* operator->() const { return snapshot_; }

   private:
    std::atomic<int64_t>& inside_;
    const Snapshot* snapshot_;
  };

  // Makes `next` the current snapshot and returns the former one. The caller may destroy that one
  // after a later WaitForReaders.
  std::unique_ptr<const Snapshot> Publish(std::unique_ptr<const Snapshot> next) {
    return std::unique_ptr<const Snapshot>(
        current_.exchange(next.release(), std::memory_order_seq_cst));
  }

  // Returns when no Reader can have a snapshot that was published before the call. Sleeps in short
  // steps, so only the background thread may call it.
  void WaitForReaders() const;

 private:
  std::atomic<const Snapshot*> current_;
  ThreadCells<std::atomic<int64_t>> readers_;
};

}  // namespace penstock::core
