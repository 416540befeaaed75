// SPDX-License-Identifier: Apache-2.0
// Memory for received bodies. A small body lies in a pooled block of its loop. A big body gets
// address space for its announced length, but memory only as its bytes arrive; that memory is
// counted in the server-wide budget.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "net/loop/loop.h"

namespace penstock::net {

// Bodies up to this size come from blocks of the loop.
inline constexpr size_t kSmallBodyBytes = 16 * 1024;
// The capacity of the largest of these blocks. It has space to align the body.
inline constexpr size_t kSmallCapacityMax = kSmallBodyBytes + kBufferAlignment;

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
