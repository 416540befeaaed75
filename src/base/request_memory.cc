// SPDX-License-Identifier: Apache-2.0
#include "base/request_memory.h"

#include <new>

namespace penstock {

Status OutOfMemory(std::string_view what) {
  return Error(StatusCode::kResourceExhausted,
               "the server has no memory for {} now: try again later", what);
}

StatusOr<BufferRef> RequestMemory::Allocate(size_t bytes) {
  if (bytes > inline_bytes_left_) [[unlikely]] {
    is_too_large_inline_ = true;
    return OutOfMemory("a request of this size on an event loop");
  }
  if (inline_bytes_left_ != UINT64_MAX) inline_bytes_left_ -= bytes;
  try {
    return AllocateBuffer(bytes);
  } catch (const std::bad_alloc&) {
    return OutOfMemory(fmt::format("a tensor of {} bytes", bytes));
  }
}

}  // namespace penstock
