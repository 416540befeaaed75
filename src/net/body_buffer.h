// SPDX-License-Identifier: Apache-2.0
// Memory for received bodies. A small body lies in a pooled block of its loop. A big one gets
// address space for the length that the client claims, but memory only as its bytes arrive, and
// that is counted against the server-wide budget; its pages are used again, since page faults cost
// more than copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/request_memory.h"
#include "net/loop.h"

namespace penstock::net {

// Bodies up to this size come from the loop's own blocks.
inline constexpr size_t kSmallBodyBytes = 16 * 1024;

// A range of address space, some of it backed by memory. One thread at a time.
struct Mapping {
  std::byte* data = nullptr;
  size_t size = 0;
  size_t resident = 0;  // bytes from the start that may be backed by memory
  bool has_huge_pages = false;
};

// Address ranges that were used for bodies, kept for the next ones. Thread-safe.
class BigBufferPool final {
 public:
  // Keeps at most `resident_bytes_max` of memory.
  explicit BigBufferPool(uint64_t resident_bytes_max) : resident_bytes_max_(resident_bytes_max) {}
  ~BigBufferPool();

  // At least `size` bytes; a null mapping if there is no address space.
  Mapping Take(size_t size) EXCLUDES(mutex_);
  // Keeps it, or gives it back to the system.
  void Give(Mapping mapping, SteadyTime now) EXCLUDES(mutex_);
  // Gives back what has not been used since `before`.
  void Trim(SteadyTime before) EXCLUDES(mutex_);
  uint64_t resident_bytes() const EXCLUDES(mutex_);

 private:
  struct Kept {
    Mapping mapping;
    SteadyTime since;
  };
  const uint64_t resident_bytes_max_;
  mutable Mutex mutex_;
  std::vector<Kept> kept_ GUARDED_BY(mutex_);  // in the order in which they came
  uint64_t resident_ GUARDED_BY(mutex_) = 0;
};

// A buffer for one body that is being received: `capacity` bytes may be written, kBufferSlack more
// may be read. One thread at a time until it is shared; then immutable.
class BodyBuffer : public CountedBuffer {
 public:
  // Makes [0, bytes) usable: counts the memory against the budget. False if the budget does not
  // have it. On the loop.
  [[nodiscard]] virtual bool Commit(size_t bytes) = 0;

 protected:
  using CountedBuffer::CountedBuffer;
};

// A buffer of `capacity` bytes, aligned to kBufferAlignment. Null if there is no address space, or
// (for small ones) no budget.
BodyBuffer* NewBodyBuffer(Loop& loop, size_t capacity);

}  // namespace penstock::net
