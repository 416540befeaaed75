// SPDX-License-Identifier: Apache-2.0
// Where response heads and small bodies are formatted: one block of the loop, written from the
// start again as soon as all that was in it has been sent.
#pragma once

#include <cstring>
#include <string_view>

#include "base/buffer.h"
#include "net/loop.h"

namespace penstock::net {

// Pieces of output, one after the other. Owned by loop.
class OutputArena final : public LoopLocal {
 public:
  static OutputArena& Of(Loop& loop);
  size_t Shrink(size_t) override { return 0; }  // one block

  // Begins a piece. One at a time.
  void Begin();
  void Append(std::string_view text) {
    if (text.size() > room()) MakeRoom(text.size());
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  // The piece. It keeps the block.
  Slice End();

 private:
  size_t room() const { return static_cast<size_t>(end_ - at_); }
  void MakeRoom(size_t bytes);

  BufferRef block_;
  char* begin_ = nullptr;  // of the piece
  char* at_ = nullptr;
  char* end_ = nullptr;
};

}  // namespace penstock::net
