// SPDX-License-Identifier: Apache-2.0
// Memory that HTTP/2 allocates and frees thousands of times a second: nghttp2's own memory, and the
// blocks for small output. Both come from free lists of the thread.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>

#include "base/buffer.h"
#include "net/loop/loop.h"

namespace penstock::net {

// The size of an output block.
inline constexpr size_t kOutputBlockBytes = 16 * 1024;

// An allocator for nghttp2 sessions, with free lists by size. Each thread has its own set.
// Thread-safe.
nghttp2_mem* Http2Memory();

// Returns a block of kOutputBlockBytes from this thread's free list. When the last reference is
// dropped, the block goes to the free list of the thread that dropped it.
BufferRef NewOutputBlock();

// Makes Loop::ShrinkPools free the unused blocks of this thread, which must be the loop's.
void AddHttp2Memory(Loop& loop);

}  // namespace penstock::net
