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
// more may be read.
//
//   BodyBuffer* buffer = NewBodyBuffer(loop, length);
//   if (buffer == nullptr || !buffer->Commit(piece.size())) return Refuse();
//   std::memcpy(buffer->data(), piece.data(), piece.size());
//   Slice body{buffer->data(), length, BufferRef(buffer)};  // the last reference frees it
//
// The last reference may be dropped on any thread, even after the loop has ended. One thread at a
// time until it is shared; then immutable.
class BodyBuffer : public CountedBuffer {
 public:
  // Makes [0, bytes) usable, and counts the memory in the budget, in steps of up to 2 MiB. `bytes`
  // may be less than before. False if it is more than the capacity, or the budget has no memory
  // left. Bytes beyond the committed ones must not be written: nobody counts their pages. Call it
  // on the loop.
  [[nodiscard]] virtual bool Commit(size_t bytes) = 0;

 protected:
  using CountedBuffer::CountedBuffer;
};

// Returns a buffer of `capacity` bytes, aligned to kBufferAlignment, with one reference that the
// caller owns. The bytes are undefined. Null if there is no address space (`capacity` over
// kSmallCapacityMax) or no budget (small ones, which count at once). Call it on the loop.
BodyBuffer* NewBodyBuffer(Loop& loop, size_t capacity);

}  // namespace penstock::net
