// SPDX-License-Identifier: Apache-2.0
// Counts the memory that requests make the server hold, before it is allocated.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/buffer.h"
#include "base/status.h"

namespace penstock {

// Bytes that the tensors of one request may take beyond its message, by default. A message of a few
// bytes can ask for any number of equal elements.
inline constexpr uint64_t kDecodedTensorBytesMax = uint64_t{1} << 30;

// RESOURCE_EXHAUSTED: the system refused an allocation. `what` was to be allocated.
Status OutOfMemory(std::string_view what);

// What one request may still allocate for its tensors. One thread at a time.
class RequestMemory final {
 public:
  explicit RequestMemory(uint64_t bytes_max = kDecodedTensorBytesMax) : bytes_left_(bytes_max) {}

  // Refuses the allocation that takes the sum over `bytes_max`, and sets is_too_large_inline. An
  // event loop sets this, to hand a request that expands to the compute pool.
  void LimitInline(uint64_t bytes_max) { inline_bytes_left_ = bytes_max; }
  bool is_too_large_inline() const { return is_too_large_inline_; }

  // What the request's own limit has left.
  uint64_t bytes_left() const { return bytes_left_; }
  // Takes bytes off the request's limit, or gives them back. The caller has checked bytes_left().
  void Take(uint64_t bytes) { bytes_left_ -= bytes; }
  void GiveBack(uint64_t bytes) { bytes_left_ += bytes; }

  // A buffer of `bytes`, without a look at bytes_left(). Errors: RESOURCE_EXHAUSTED.
  StatusOr<BufferRef> Allocate(size_t bytes);

 private:
  uint64_t bytes_left_;
  uint64_t inline_bytes_left_ = UINT64_MAX;
  bool is_too_large_inline_ = false;
};

}  // namespace penstock
