// SPDX-License-Identifier: Apache-2.0
// Writes compact JSON into blocks that are sent as they are: nothing is moved when the text grows.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/buffer.h"
#include "base/request_memory.h"

namespace penstock::tfs_rest {

// The room that one number needs while it is written; the text itself is at most 25 long.
inline constexpr size_t kNumberBytesMax = 40;

// The shortest text that reads back as the same value, with ".0" behind a whole number; NaN,
// Infinity and -Infinity for what JSON has no word for, as TensorFlow Serving does. Returns the
// end; `to` has room for kNumberBytesMax.
char* WriteFloat(char* to, float value);
char* WriteFloat(char* to, double value);

// One thread at a time.
class JsonWriter {
 public:
  // Thrown by whatever writes when `memory` has no more blocks: it may be deep inside lists.
  struct NoMemory {
    Status status;
  };

  // `bytes_expected`: about how long the text will be. `memory`: where the blocks come from, or
  // null; outlives this.
  explicit JsonWriter(size_t bytes_expected, RequestMemory* memory = nullptr)
      : next_block_bytes_(bytes_expected), memory_(memory) {}

  // Room for `bytes`, to be followed by Commit(). `bytes` is at most kBlockBytesMin.
  char* Reserve(size_t bytes) {
    if (static_cast<size_t>(limit_ - next_) < bytes) StartBlock();
    return next_;
  }
  void Commit(char* end) { next_ = end; }

  void Raw(char c) {
    *Reserve(1) = c;
    ++next_;
  }
  // Text that is JSON already.
  void Raw(std::string_view text);
  // A quoted and escaped string. False, with nothing written, if it is not valid UTF-8.
  [[nodiscard]] bool String(std::string_view text);
  // A quoted and escaped string; what is not UTF-8 in it becomes '?'.
  void LossyString(std::string_view text);
  // {"b64": "..."}
  void Base64Object(std::string_view bytes);

  ByteChain Finish();

 private:
  static constexpr size_t kBlockBytesMin = 256;
  // Small enough for the allocator to keep such blocks at hand.
  static constexpr size_t kBlockBytesMax = 64 * 1024;

  void StartBlock();
  void Escaped(std::string_view text);

  ByteChain chain_;
  size_t next_block_bytes_;
  RequestMemory* const memory_;
  BufferRef block_;
  char* next_ = nullptr;
  char* limit_ = nullptr;
};

}  // namespace penstock::tfs_rest
