// SPDX-License-Identifier: Apache-2.0
// Reads protobuf's wire format in place, without copying. Accepts and refuses exactly what
// protobuf's own parser does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace penstock::tfs {

// The layout of a field's value. It is the lower three bits of the tag.
enum class WireType : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kLength = 2,
  kGroupStart = 3,
  kGroupEnd = 4,
  kFixed32 = 5
};

// Returns the number that stands before a field in a message.
constexpr uint32_t MakeTag(uint32_t field, WireType type) {
  return field << 3 | static_cast<uint32_t>(type);
}

// The nesting limit for sub-messages and groups, as in protobuf.
inline constexpr int kNestingMax = 100;
// The limit for strings, messages and packed fields, as in protobuf (INT_MAX less its read-ahead).
inline constexpr uint64_t kLengthMax = 0x7fffffff - 16;

// Why and where reading stopped. One thread at a time.
struct WireError {
  const char* what = "";  // static text
  const char* where = nullptr;
};

// A cursor over the bytes of one message. If the bytes are malformed, every Read returns false and
// writes the reason to the WireError; do not use the cursor after that.
//
//   WireError error;
//   WireReader reader(bytes, error);
//   while (!reader.AtEnd()) {
//     uint32_t tag = 0;
//     if (!reader.ReadTag(tag)) return Malformed(error);
//     const bool ok = tag == MakeTag(1, WireType::kLength) ? reader.ReadString(name)
//                                                          : reader.SkipField(tag, nesting_left);
//     if (!ok) return Malformed(error);
//   }
//
// A known field number with another wire type is an unknown field, as in protobuf: it falls through
// to SkipField. Copying the cursor makes a look-ahead. One thread at a time.
class WireReader {
 public:
  // Views `bytes`, which must outlive it, and so must `error`. All views that it returns point into
  // `bytes`.
  WireReader(std::string_view bytes, WireError& error)
      : cursor_(bytes.data()), end_(bytes.data() + bytes.size()), error_(&error) {}

  bool AtEnd() const { return cursor_ == end_; }
  const char* cursor() const { return cursor_; }
  size_t bytes_left() const { return static_cast<size_t>(end_ - cursor_); }

  // Reads the tag of the next field. The end of a group is an error here, because SkipField
  // consumes groups with their ends.
  bool ReadTag(uint32_t& tag) {
    // Field numbers below 16 have tags of one byte. Nearly all fields of requests do, so this part
    // is inline.
    if (cursor_ != end_) {
      const auto byte = static_cast<uint8_t>(*cursor_);
      const bool is_whole = byte >= MakeTag(1, WireType::kVarint) && byte < 0x80;
      if (is_whole && (byte & 7) != static_cast<uint8_t>(WireType::kGroupEnd)) {
        tag = byte;
        ++cursor_;
        return true;
      }
    }
    return ReadOtherTag(tag);
  }
  // Reads a varint of up to 10 bytes. Bits above 64 are dropped, as protobuf does.
  bool ReadVarint(uint64_t& value) {
    if (cursor_ != end_ && static_cast<signed char>(*cursor_) >= 0) {
      value = static_cast<uint8_t>(*cursor_++);
      return true;
    }
    return ReadLongVarint(value);
  }
  // Reads a length and that many bytes. `bytes` is a view of the message.
  bool ReadBytes(std::string_view& bytes) {
    if (cursor_ != end_) {
      const auto length = static_cast<uint8_t>(*cursor_);
      // The length takes a byte, too. So `<` and not `<=`.
      if (length < 0x80 && length < bytes_left()) {
        bytes = {cursor_ + 1, length};
        cursor_ += 1 + length;
        return true;
      }
    }
    return ReadOtherBytes(bytes);
  }
  // Reads a length and that many bytes, which must be UTF-8.
  bool ReadString(std::string_view& text);
  // Reads 4 or 8 bytes in little-endian order, depending on T. They need not be aligned.
  template <typename T>
  bool ReadFixed(T& value) {
    if (bytes_left() < sizeof(T)) return Fail("a fixed-size value is cut off");
    std::memcpy(&value, cursor_, sizeof(T));
    cursor_ += sizeof(T);
    return true;
  }
  // Skips the rest of a field whose tag was read. `nesting_left` limits how deep groups may nest.
  bool SkipField(uint32_t tag, int nesting_left);

  // Sets the error, at the cursor. Returns false, so that a reader can end with it.
  bool Fail(const char* what) {
    *error_ = {what, cursor_};
    return false;
  }
  WireError& error() const { return *error_; }

 private:
  // The slow halves of the functions above, for the rare forms. They set the error.
  bool ReadOtherTag(uint32_t& tag);
  bool ReadOtherBytes(std::string_view& bytes);
  bool ReadRawTag(uint32_t& tag);
  bool ReadLongVarint(uint64_t& value);
  bool ReadLength(uint64_t& length);
  bool SkipBytes(size_t count);
  // Skips a group to its end. Calls SkipField and is called by it, so `nesting_left` bounds the
  // stack.
  bool SkipGroup(uint32_t field, int nesting_left);

  const char* cursor_;
  const char* end_;
  WireError* error_;
};

// True if `text` is UTF-8, without overlong forms, surrogates or values above U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace penstock::tfs
