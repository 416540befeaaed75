// SPDX-License-Identifier: Apache-2.0
// How requests find and pin a version without a lock and without a write to a cache line that
// another thread writes.
//
// What is ready is one immutable Snapshot behind an atomic pointer. Two things must not be freed
// too early: a snapshot that a thread is searching, and a version that a handle pins. Both are
// counted in per-thread cells (base/thread_slot.h), and both are freed by one background thread
// that sums up the cells off the request path:
//
// 1. Snapshot. A reader adds 1 to its cell, loads the pointer, searches, and subtracts 1. Having
//    published a new snapshot, the background thread waits until it has seen each cell at 0 once.
//    All these operations but the last are sequentially consistent. So a reader whose addition
//    comes after the load that saw 0 also loads the pointer after the publication: it has the new
//    snapshot. A reader whose addition comes before has, as the cell was 0, subtracted already, and
//    what it did happens before the load. Either way nobody searches the old snapshot. Publishing
//    itself waits for nobody.
// 2. Version. Taking a handle adds 1 to the version's `taken` of the thread, dropping it adds 1 to
//    `dropped` of whichever thread does so: only the sums over all threads count. New handles come
//    from a reader inside (1) or from copying a living handle. Once a version is in no published
//    snapshot and (1) has been waited for, only copies are left. Then all `dropped` are summed up
//    first and all `taken` after them. At a moment between the two sums no less had been dropped
//    than the first says, and no more taken than the second says; so if they are equal, no handle
//    lived at that moment, and none can come to life again. (Whoever copies a handle does so before
//    the original is dropped; that drop is a release, its reading an acquire, so a sum that
//    includes the drop is followed by one that includes the copy. Likewise every use of the version
//    happens before its destruction.)
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

// One Cell per thread, each in a cache line of its own. Thread-safe.
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
  // Only meaningful once requests cannot find it any more; then false means that it may be
  // destroyed.
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

// What requests can find. Immutable once published.
struct Snapshot {
  struct Model {
    std::vector<VersionEntry*> ready;  // newest first
    // Wanted, but taken from service because they broke, and why; newest first.
    std::vector<std::pair<VersionNumber, Status>> broken;
    StringMap<VersionNumber> labels;
    Status absent;  // why nothing is ready although nothing is wrong; OK: for no such reason
    bool on_demand = false;  // a request has it loaded
    bool counts_as_ready = false;
    bool is_expected = true;   // not one that shall not be loaded
    bool is_of_start = false;  // configured before the manager was ready for the first time
    bool has_served = false;   // has had a version ready since it was configured

    bool is_established() const { return is_of_start || has_served; }
  };
  // Every configured one. Snapshots share what did not change between them, so that publishing one
  // costs the same however many models there are.
  PersistentMap<std::shared_ptr<const Model>> models;
  bool is_ready = true;  // by the manager's rule
};

// The current snapshot. Thread-safe.
class SnapshotCell {
 public:
  SnapshotCell() : current_(new Snapshot) {}
  ~SnapshotCell() { delete current_.load(); }
  SnapshotCell(const SnapshotCell&) = delete;
  SnapshotCell& operator=(const SnapshotCell&) = delete;

  // Keeps the snapshot that was current at its construction alive. Keep it short: it delays what is
  // freed. One thread at a time.
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

  // Makes `next` the current one and returns the former, which may be destroyed after a later
  // WaitForReaders.
  std::unique_ptr<const Snapshot> Publish(std::unique_ptr<const Snapshot> next) {
    return std::unique_ptr<const Snapshot>(
        current_.exchange(next.release(), std::memory_order_seq_cst));
  }

  // Returns when every Reader that may have a snapshot published before the call is gone. Waits in
  // small sleeps: only for the background thread.
  void WaitForReaders() const;

 private:
  std::atomic<const Snapshot*> current_;
  ThreadCells<std::atomic<int64_t>> readers_;
};

}  // namespace penstock::core
