// SPDX-License-Identifier: Apache-2.0
// Memory for received bodies. A small body lies in a pooled block of its loop. A big body gets
// address space for its announced length, but memory only as its bytes arrive; that memory is
// counted in the server-wide budget. Its pages are reused, because page faults cost more than
// copies.
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

// Bodies up to this size come from blocks of the loop.
inline constexpr size_t kSmallBodyBytes = 16 * 1024;

// A range of address space. Memory may back a part of it. One thread at a time.
struct Mapping {
  std::byte* data = nullptr;
  size_t size = 0;
  size_t resident = 0;  // bytes from the start that memory may back
  bool has_huge_pages = false;
};

// Keeps the mappings of earlier bodies for the next ones. Thread-safe.
class BigBufferPool final {
 public:
  // Keeps at most `resident_bytes_max` of memory.
  explicit BigBufferPool(uint64_t resident_bytes_max) : resident_bytes_max_(resident_bytes_max) {}
  ~BigBufferPool();

  // Returns a mapping of at least `size` bytes. A null mapping if there is no address space.
  Mapping Take(size_t size) EXCLUDES(mutex_);
  // Keeps the mapping, or unmaps it.
  void Give(Mapping mapping, SteadyTime now) EXCLUDES(mutex_);
  // Unmaps mappings that were not used since `before`.
  void Trim(SteadyTime before) EXCLUDES(mutex_);
  uint64_t resident_bytes() const EXCLUDES(mutex_);

 private:
  struct Kept {
    Mapping mapping;
    SteadyTime since;
  };
  const uint64_t resident_bytes_max_;
  mutable Mutex mutex_;
  std::vector<Kept> kept_ GUARDED_BY(mutex_);  // in the order in which they were given
  uint64_t resident_ GUARDED_BY(mutex_) = 0;
};

// A buffer for one body that is being received. `capacity` bytes may be written, and kBufferSlack
// more may be read. One thread at a time until it is shared; then immutable.
class BodyBuffer : public CountedBuffer {
 public:
  // Makes [0, bytes) usable, and counts the memory in the budget. False if the budget has no memory
  // left. Call it on the loop.
  [[nodiscard]] virtual bool Commit(size_t bytes) = 0;

 protected:
  using CountedBuffer::CountedBuffer;
};

// Returns a buffer of `capacity` bytes, aligned to kBufferAlignment. Null if there is no address
// space or, for small buffers, no budget.
BodyBuffer* NewBodyBuffer(Loop& loop, size_t capacity);

}  // namespace penstock::net
