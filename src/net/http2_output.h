// SPDX-License-Identifier: Apache-2.0
// Puts what nghttp2 frames into the chain that the connection writes: small pieces gathered in one
// block, big ones as references to where they lie.
#pragma once

#include <cstddef>
#include <span>

#include "base/buffer.h"
#include "net/http2_memory.h"

namespace penstock::net {

// Pieces from this size on are not copied.
inline constexpr size_t kReferenceBytesMin = 4096;

// Used from Begin to End, for one flush. Owned by loop.
class Http2Output final {
 public:
  void Begin(ByteChain& chain, size_t bytes_wanted);
  void End();
  // Enough for this time.
  bool is_full() const { return chain_->bytes() + used_ - start_ >= bytes_wanted_; }

  void Copy(std::span<const std::byte> bytes);
  // `size` bytes of `slice` from `offset` on.
  void Add(const Slice& slice, size_t offset, size_t size);

 private:
  void CloseBlockPart();

  ByteChain* chain_ = nullptr;
  size_t bytes_wanted_ = 0;
  BufferRef block_;
  size_t start_ = 0;  // of what is in the block but not in the chain
  size_t used_ = 0;
};

}  // namespace penstock::net
