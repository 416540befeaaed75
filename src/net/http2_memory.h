// SPDX-License-Identifier: Apache-2.0
// Memory that HTTP/2 takes and gives back thousands of times a second: nghttp2's own, and the
// blocks in which small output is gathered. Both come from free lists of the thread.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>

#include "base/buffer.h"

namespace penstock::net {

// Bytes of an output block.
inline constexpr size_t kOutputBlockBytes = 16 * 1024;

// An allocator for nghttp2 sessions: free lists by size, one set per thread. Thread-safe.
nghttp2_mem* Http2Memory();

// kOutputBlockBytes to be written, from the free list of this thread; goes to the free list of the
// thread that drops the last reference.
BufferRef NewOutputBlock();

// Frees all but `kept` blocks of each size in the free lists of this thread; how many bytes that
// were.
size_t ShrinkHttp2Memory(size_t kept);

}  // namespace penstock::net
