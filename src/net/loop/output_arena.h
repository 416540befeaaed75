// SPDX-License-Identifier: Apache-2.0
// Memory for response heads and small bodies. It is one block of the loop, and is written from the
// start again as soon as everything in it was sent.
#pragma once

#include <cstring>
#include <string_view>

#include "base/buffer.h"
#include "net/loop/loop.h"

namespace penstock::net {

// Writes pieces of output, one after the other. Each piece becomes one slice of contiguous memory,
// however often it is appended to.
//
//   OutputArena& arena = OutputArena::Of(loop);
//   arena.Begin();
//   arena.Append("HTTP/1.1 200 OK\r\n");
//   ...
//   out.Append(arena.End());
//
// Owned by loop.
class OutputArena final : public LoopLocal {
 public:
  // The loop's only arena, made at the first call.
  static OutputArena& Of(Loop& loop);
  size_t Shrink(size_t) override { return 0; }  // it keeps only one block

  // Begins a piece. Only one piece may be open.
  void Begin();
  // REQUIRES: Begin was called, and End was not. Moves the begun piece to a larger block if this
  // one is full.
  void Append(std::string_view text) {
    if (text.size() > room()) MakeRoom(text.size());
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  // Ends the piece and returns it. The slice keeps the block alive.
  Slice End();

 private:
  size_t room() const { return static_cast<size_t>(end_ - at_); }
  void MakeRoom(size_t bytes);

  BufferRef block_;
  char* begin_ = nullptr;  // start of the piece
  char* at_ = nullptr;
  char* end_ = nullptr;
};

}  // namespace penstock::net
