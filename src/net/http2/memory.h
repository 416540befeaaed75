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

// An allocator for nghttp2 sessions, with free lists by size (up to 2 KiB). Each thread has its own
// set, so memory may be freed on another thread than the one that allocated it. The result has
// static storage. Thread-safe.
nghttp2_mem* Http2Memory();

// Returns a block of kOutputBlockBytes, aligned to kBufferAlignment, from this thread's free list
// or the heap. Its bytes are undefined. When the last reference is dropped, the block goes to the
// free list of the thread that dropped it. Thread-safe.
BufferRef NewOutputBlock();

// Makes Loop::ShrinkPools free the unused blocks of this thread, which must be the loop's.
void AddHttp2Memory(Loop& loop);

}  // namespace penstock::net
