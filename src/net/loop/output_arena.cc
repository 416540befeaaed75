// SPDX-License-Identifier: Apache-2.0
// Why a block may be used again: a slice keeps the block alive until the kernel has its bytes. When
// Begin finds that no slice refers to the block, everything has been sent. Then it writes from the
// start of the block again. A loop that answers small requests therefore allocates nothing. While
// old output waits, the arena writes behind it, and takes a new block when this one is full.
#include "net/loop/output_arena.h"

#include <algorithm>

namespace penstock::net {
namespace {

constexpr size_t kBlockBytes = 16 * 1024;

}  // namespace

OutputArena& OutputArena::Of(Loop& loop) {
  auto& local = loop.local(LoopLocalKey::kOutput);
  if (local == nullptr) local = std::make_unique<OutputArena>();
  return static_cast<OutputArena&>(*local);
}

void OutputArena::Begin() {
  if (block_ && block_->IsUnique()) at_ = reinterpret_cast<char*>(block_->data());
  begin_ = at_;
}

void OutputArena::MakeRoom(size_t bytes) {
  const auto begun = static_cast<size_t>(at_ - begin_);
  // Twice the size, so that a long head is copied only a few times. The old block lives on in the
  // slices that refer to it.
  BufferRef block = AllocateBuffer(std::max(kBlockBytes, 2 * (begun + bytes)));
  auto* const start = reinterpret_cast<char*>(block->data());
  if (begun > 0) std::memcpy(start, begin_, begun);
  block_ = std::move(block);
  begin_ = start;
  at_ = start + begun;
  end_ = start + block_->size();
}

Slice OutputArena::End() {
  return {reinterpret_cast<const std::byte*>(begin_), static_cast<size_t>(at_ - begin_), block_};
}

}  // namespace penstock::net
