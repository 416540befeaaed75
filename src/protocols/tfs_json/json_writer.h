// SPDX-License-Identifier: Apache-2.0
// Writes compact JSON into blocks that are sent without a copy. Growing the text moves nothing.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/buffer.h"
#include "base/request_memory.h"

namespace penstock::tfs_json {

// The space that the writer of one number needs. The text itself has at most 25 bytes.
inline constexpr size_t kNumberBytesMax = 40;

// Write the shortest text that reads back as the same value, with ".0" after a whole number. Values
// that JSON cannot represent become NaN, Infinity and -Infinity, as in TensorFlow Serving. Return
// the end. `to` must have space for kNumberBytesMax.
char* WriteFloat(char* to, float value);
char* WriteFloat(char* to, double value);
// The same for the bits of an IEEE half precision number and of a bfloat16. The text reads back as
// these bits, but not as the same float: it has fewer digits.
char* WriteFloat16(char* to, uint16_t bits);
char* WriteBfloat16(char* to, uint16_t bits);

// Writes one JSON text.
//
//   JsonWriter writer(1000, &memory);
//   writer.Raw("{\"outputs\": [");
//   writer.Commit(WriteFloat(writer.Reserve(kNumberBytesMax), 1.5f));
//   writer.Raw("]}");
//   ByteChain text = writer.Finish();
//
// It does not check that the pieces make valid JSON. One thread at a time.
class JsonWriter {
 public:
  // The functions that write throw this when `memory` has no more blocks. It is an exception
  // because they may be deep inside lists.
  struct NoMemory {
    Status status;
  };

  // `bytes_expected` is an estimate of the text's length. `memory` provides the blocks; it may be
  // null, and outlives this.
  explicit JsonWriter(size_t bytes_expected, RequestMemory* memory = nullptr)
      : next_block_bytes_(bytes_expected), memory_(memory) {}

  // Returns space for `bytes`, at most kBlockBytesMin. Call Commit() after writing.
  char* Reserve(size_t bytes) {
    if (static_cast<size_t>(limit_ - next_) < bytes) StartBlock();
    return next_;
  }
  void Commit(char* end) { next_ = end; }

  void Raw(char c) {
    *Reserve(1) = c;
    ++next_;
  }
  // Appends text that is JSON already.
  void Raw(std::string_view text);
  // Writes a quoted and escaped string. Returns false, and writes nothing, if it is not valid
  // UTF-8.
  [[nodiscard]] bool String(std::string_view text);
  // Writes a quoted and escaped string. Bytes that are not UTF-8 become '?'.
  void LossyString(std::string_view text);
  // Writes {"b64": "..."}.
  void Base64Object(std::string_view bytes);

  // Returns the text. The writer must not be used after it.
  ByteChain Finish();

 private:
  static constexpr size_t kBlockBytesMin = 256;
  // Small enough that the allocator keeps freed blocks for reuse.
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

}  // namespace penstock::tfs_json
