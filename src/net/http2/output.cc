// SPDX-License-Identifier: Apache-2.0
// Why two ways. A reference costs a slice in the chain and an entry in the list of one sendmsg
// call, so a small piece is cheaper to copy. A burst of small answers then becomes one slice. Frame
// headers are nine bytes, so they are always copied.
#include "net/http2/output.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace penstock::net {

void Http2Output::Begin(ByteChain& chain, size_t bytes_wanted) {
  chain_ = &chain;
  bytes_wanted_ = bytes_wanted;
  start_ = used_ = 0;
}

void Http2Output::End() {
  CloseBlockPart();
  block_ = {};
  chain_ = nullptr;
}

void Http2Output::CloseBlockPart() {
  if (used_ > start_) chain_->Append(Slice{block_->data() + start_, used_ - start_, block_});
  start_ = used_;
}

void Http2Output::Copy(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (!block_ || used_ == kOutputBlockBytes) {
      CloseBlockPart();
      block_ = NewOutputBlock();
      start_ = used_ = 0;
    }
    const size_t size = std::min(bytes.size(), kOutputBlockBytes - used_);
    std::memcpy(block_->data() + used_, bytes.data(), size);
    used_ += size;
    bytes = bytes.subspan(size);
  }
}

void Http2Output::Add(const Slice& slice, size_t offset, size_t size) {
  if (size < kReferenceBytesMin) return Copy({slice.data + offset, size});
  CloseBlockPart();
  chain_->Append(Slice{slice.data + offset, size, slice.owner});
}

}  // namespace penstock::net
