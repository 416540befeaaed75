// SPDX-License-Identifier: Apache-2.0
// Address space for big bodies: mappings that take memory only as they are written. The pool limits
// the address space of all bodies together, and keeps used mappings for the next bodies, because
// page faults cost more than copies.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/metrics/metrics.h"
#include "base/mutex.h"

namespace penstock::net {

// A range of address space. Memory may back a part of it. One thread at a time. The first
// `resident` bytes count in the budget of the body that has the mapping.
struct Mapping {
  std::byte* data = nullptr;
  size_t size = 0;
  size_t resident = 0;  // bytes from the start that memory may back
  bool has_huge_pages = false;
};

// Makes mappings, and keeps those of earlier bodies for the next ones. Thread-safe.
//   Mapping mapping = pool.Take(body_bytes);
//   if (mapping.data == nullptr) return Refuse();  // no address space left
//   ...                                             // write; raise mapping.resident
//   pool.Give(mapping, clock.Now());                // the contents are lost
class BigBufferPool final {
 public:
  // Keeps at most `resident_bytes_max` of memory. All mappings together, in use and kept, have at
  // most `reserved_bytes_max`.
  BigBufferPool(uint64_t resident_bytes_max, uint64_t reserved_bytes_max)
      : resident_bytes_max_(resident_bytes_max), reserved_bytes_max_(reserved_bytes_max) {}
  ~BigBufferPool();

  // Returns a mapping of at least `size` bytes, aligned to a page. Its bytes are undefined: a kept
  // mapping still holds those of an earlier body. A null mapping if there is no address space:
  // either `reserved_bytes_max` is reached, or the system refuses. May unmap kept mappings of other
  // sizes to make room.
  Mapping Take(size_t size) EXCLUDES(mutex_);
  // Keeps the mapping, or unmaps it if it has no memory or more than the pool may keep. Then the
  // oldest kept mappings go first. `mapping` must come from Take, with `resident` set to what was
  // written.
  void Give(Mapping mapping, SteadyTime now) EXCLUDES(mutex_);
  // Unmaps mappings that were not used since `before`. Each loop calls it at its tick.
  void Trim(SteadyTime before) EXCLUDES(mutex_);
  // The memory of the kept mappings, in bytes. Mappings in use do not count here; their bodies
  // count them.
  uint64_t resident_bytes() const EXCLUDES(mutex_);

  // The size of all mappings.
  uint64_t reserved_bytes() const { return reserved_.load(std::memory_order_relaxed); }
  // More than half of the address space is reserved. Then bodies must reserve little in advance.
  bool is_scarce() const { return reserved_bytes() > reserved_bytes_max_ / 2; }
  // A body of at most this size may reserve all of it when little has come, so that it need not
  // move later. Many such bodies make address space scarce, but use up none that others need.
  uint64_t at_once_max() const { return std::min(kAtOnceMax, reserved_bytes_max_ / kAtOnceShare); }
  // Adds to `gauge` what has changed since the last report, and returns the reported bytes.
  // Mappings may be given back when the metrics are gone, so the loops report from time to time.
  uint64_t Report(Gauge& gauge) EXCLUDES(mutex_);

 private:
  static constexpr uint64_t kAtOnceMax = 128 << 20;
  static constexpr uint64_t kAtOnceShare = 64;

  struct Kept {
    Mapping mapping;
    SteadyTime since;
  };
  // Counts `size` bytes of address space. Unmaps kept mappings, oldest first, if that makes room.
  // False: the limit is reached.
  bool TryReserve(size_t size) EXCLUDES(mutex_);
  void Unmap(const Mapping& mapping);

  const uint64_t resident_bytes_max_;
  const uint64_t reserved_bytes_max_;
  std::atomic<uint64_t> reserved_{0};
  mutable Mutex mutex_;
  std::vector<Kept> kept_ GUARDED_BY(mutex_);  // in the order in which they were given
  uint64_t resident_ GUARDED_BY(mutex_) = 0;
  uint64_t reported_ GUARDED_BY(mutex_) = 0;
};

}  // namespace penstock::net
