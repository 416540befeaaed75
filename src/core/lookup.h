// SPDX-License-Identifier: Apache-2.0
// How requests find and pin a version without a lock, and without a write to a cache line that
// another thread writes.
//
// All ready versions are in one immutable Snapshot, which is read without a lock
// (base/read_mostly.h). A version that a handle pins must not be freed too early. Its handles are
// counted in per-thread cells (base/thread_slot.h): taking a handle adds 1 to `taken` in the cell
// of the thread, and dropping it adds 1 to `dropped` in the cell of the thread that drops it. So
// only the sums over all threads have a meaning. One background thread sums them up and frees the
// version, so that requests never wait for this.
//
// Why this is safe: a new handle comes from a reader of the snapshot, or from a copy of a living
// handle. Once no published snapshot has the version, and the wait for the readers is over, only
// copies remain. Then the background thread sums up all `dropped` first, and all `taken` after
// that. Consider a moment between the two sums. At least as many handles were dropped as the first
// sum says, and at most as many were taken as the second sum says. So if the sums are equal, no
// handle lived at that moment, and none can come to life later. (Memory order: a thread copies a
// handle before the original is dropped. That drop is a release, and reading it is an acquire. So
// if the first sum includes the drop, the second sum includes the copy. In the same way every use
// of the version happens before its destruction.)
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/persistent_map.h"
#include "base/read_mostly.h"
#include "base/status.h"
#include "base/string_map.h"
#include "base/thread_slot.h"
#include "core/servable.h"

namespace penstock::core {

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
    bool has_answers = false;  // a ready version can answer
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

// The current snapshot. It is never null.
using SnapshotCell = ReadMostly<Snapshot>;

}  // namespace penstock::core
