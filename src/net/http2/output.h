// SPDX-License-Identifier: Apache-2.0
// Puts nghttp2's frames into the chain that the connection writes. Small pieces are copied into one
// block; big pieces are added as references.
#pragma once

#include <cstddef>
#include <span>

#include "base/buffer.h"
#include "net/http2/memory.h"

namespace penstock::net {

// Pieces of at least this size are not copied.
inline constexpr size_t kReferenceBytesMin = 4096;

// Collects the output of one flush, between Begin and End. nghttp2's Send callback ends in Copy;
// its SendData callback copies the frame header and adds the body.
//
//   output.Begin(chain, bytes_wanted);
//   nghttp2_session_send(ng);  // its callbacks call Copy and Add until is_full()
//   output.End();
//
// Owned by loop.
class Http2Output final {
 public:
  // Output is appended to `chain`, which must live until End.
  void Begin(ByteChain& chain, size_t bytes_wanted);
  // Adds the last copied bytes to the chain, and drops the block. The chain keeps what it refers
  // to.
  void End();
  // True if this flush has as many bytes as the connection wanted.
  bool is_full() const { return chain_->bytes() + used_ - start_ >= bytes_wanted_; }

  // Adds a copy of `bytes`, right behind the last copied ones if it can.
  void Copy(std::span<const std::byte> bytes);
  // Adds `size` bytes of `slice`, from `offset` on: as a reference that keeps the slice's owner
  // alive if there are at least kReferenceBytesMin, else as a copy.
  void Add(const Slice& slice, size_t offset, size_t size);

 private:
  // Adds the bytes that were copied since the last reference to the chain, as one slice.
  void CloseBlockPart();

  ByteChain* chain_ = nullptr;
  size_t bytes_wanted_ = 0;
  BufferRef block_;
  size_t start_ = 0;  // offset of the bytes in the block that are not yet in the chain
  size_t used_ = 0;
};

}  // namespace penstock::net
