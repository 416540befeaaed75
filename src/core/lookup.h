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
// 2. Version. A reader adds 1 to the version's own cell of its thread while it is inside (1); the
//    handle subtracts 1 from the cell of whichever thread destroys it, so that single cells may be
//    negative and only the sum counts. Once a version is in no published snapshot and (1) has been
//    waited for, all additions there will ever be have happened and are visible (handles cannot be
//    copied). From then on the cells only go down, so a sum over cells read one after the other is
//    never less than the number of living handles; if it is 0, all subtractions were seen, and with
//    acquire and release every use of the version happens before its destruction.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/string_map.h"
#include "base/thread_slot.h"
#include "core/servable.h"

namespace penstock::core {

// One count per thread, each in a cache line of its own. Thread-safe.
template <typename Count>
struct ThreadCells {
  struct alignas(64) Cell {
    std::atomic<Count> count{0};
  };
  std::array<Cell, kThreadSlots> cells;

  std::atomic<Count>& Mine() { return cells[static_cast<size_t>(ThreadSlot())].count; }
};

// One loaded version and the number of its handles. Thread-safe.
class VersionEntry {
 public:
  VersionEntry(ServableId id, std::unique_ptr<Servable> servable)
      : id_(std::move(id)), servable_(std::move(servable)) {}

  const ServableId& id() const { return id_; }
  Servable& servable() const { return *servable_; }

  void Ref() { handles_.Mine().fetch_add(1, std::memory_order_relaxed); }
  void Unref() { handles_.Mine().fetch_sub(1, std::memory_order_release); }
  // Only meaningful once no further Ref can come; then false means that it may be destroyed.
  bool HasHandles() const {
    int64_t sum = 0;
    for (const auto& cell : handles_.cells) sum += cell.count.load(std::memory_order_acquire);
    return sum != 0;
  }

 private:
  const ServableId id_;
  const std::unique_ptr<Servable> servable_;
  ThreadCells<int64_t> handles_;
};

// What requests can find. Immutable once published.
struct Snapshot {
  struct Model {
    std::vector<VersionEntry*> ready;  // newest first
    StringMap<VersionNumber> labels;
  };
  StringMap<std::shared_ptr<const Model>> models;  // every configured one
  bool is_ready = true;                            // every configured model has a ready version
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
  ThreadCells<int64_t> readers_;
};

}  // namespace penstock::core
