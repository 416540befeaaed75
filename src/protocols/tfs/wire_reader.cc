// SPDX-License-Identifier: Apache-2.0
// The slow halves of the inline functions in the header, for forms that requests rarely have: tags
// and lengths of several bytes, groups, long varints. What protobuf refuses is refused here too,
// even where the value would be clear: a client must not get an answer from this server and an
// error from another. fuzz/predict_fuzz.cc compares the two.
#include "protocols/tfs/wire_reader.h"

namespace penstock::tfs {
namespace {

// Each byte of a varint carries 7 bits; a value has 64 bits, and a tag 32.
constexpr int kVarintBytesMax = 10;
constexpr int kTagBytesMax = 5;

// The length of the UTF-8 sequence at `at`; 0 if it is not valid.
size_t SequenceBytes(const unsigned char* at, size_t left) {
  const auto continues = [&](size_t i) { return i < left && (at[i] & 0xc0) == 0x80; };
  // The bounds are those of the Unicode standard. They exclude overlong forms (C0, C1, E0 80..9F,
  // F0 80..8F), surrogates (ED A0..BF), and values above U+10FFFF (F4 90.., F5..).
  const unsigned char lead = at[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return continues(1) ? 2 : 0;
  if (!continues(1)) return 0;
  const unsigned char second = at[1];
  if (lead < 0xf0) {
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f)) return 0;
    return continues(2) ? 3 : 0;
  }
  if (lead > 0xf4 || (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) return 0;
  return continues(2) && continues(3) ? 4 : 0;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  size_t left = text.size();
  while (left > 0) {
    // Nearly all text is ASCII. A word without high bits is eight valid characters.
    if (uint64_t word; left >= sizeof word) {
      std::memcpy(&word, at, sizeof word);
      if ((word & 0x8080808080808080) == 0) {
        at += sizeof word;
        left -= sizeof word;
        continue;
      }
    }
    const size_t bytes = SequenceBytes(at, left);
    if (bytes == 0) return false;
    at += bytes;
    left -= bytes;
  }
  return true;
}

bool WireReader::ReadRawTag(uint32_t& tag) {
  uint32_t value = 0;
  for (int i = 0; i < kTagBytesMax; ++i) {
    if (cursor_ == end_) return Fail("a field's tag is cut off");
    const auto byte = static_cast<uint8_t>(*cursor_++);
    value |= static_cast<uint32_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      if (value >> 3 == 0) return Fail("a field has the number 0");
      tag = value;
      return true;
    }
  }
  return Fail("a field's tag has more than 5 bytes");
}

bool WireReader::ReadOtherTag(uint32_t& tag) {
  if (!ReadRawTag(tag)) return false;
  if ((tag & 7) == static_cast<uint32_t>(WireType::kGroupEnd)) {
    return Fail("a group ends that did not begin");
  }
  return true;
}

// Drops bits above 64, as protobuf does.
bool WireReader::ReadLongVarint(uint64_t& value) {
  uint64_t result = 0;
  for (int i = 0; i < kVarintBytesMax; ++i) {
    if (cursor_ == end_) return Fail("a varint is cut off");
    const auto byte = static_cast<uint8_t>(*cursor_++);
    result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      value = result;
      return true;
    }
  }
  return Fail("a varint has more than 10 bytes");
}

bool WireReader::ReadLength(uint64_t& length) {
  const char* start = cursor_;
  if (!ReadVarint(length)) return false;
  // Protobuf reads a length as a 32-bit varint, and refuses a longer one even if its value is
  // small. What protobuf refuses must be refused here too.
  if (cursor_ - start > 5) return Fail("a length has more than 5 bytes");
  if (length > kLengthMax) return Fail("a length exceeds 2 GiB");
  return true;
}

bool WireReader::ReadOtherBytes(std::string_view& bytes) {
  // Most messages that do not fit one byte of length fit two.
  if (bytes_left() > 2 && static_cast<signed char>(cursor_[1]) >= 0) {
    const size_t two = static_cast<size_t>(static_cast<uint8_t>(*cursor_) & 0x7f) |
                       static_cast<size_t>(static_cast<uint8_t>(cursor_[1])) << 7;
    if (static_cast<signed char>(*cursor_) < 0 && two <= bytes_left() - 2) {
      bytes = {cursor_ + 2, two};
      cursor_ += 2 + two;
      return true;
    }
  }
  uint64_t length = 0;
  if (!ReadLength(length)) return false;
  if (length > bytes_left()) return Fail("a length exceeds what holds it");
  bytes = {cursor_, length};
  cursor_ += length;
  return true;
}

bool WireReader::ReadString(std::string_view& text) {
  if (!ReadBytes(text)) return false;
  return IsUtf8(text) || Fail("a string is not UTF-8");
}

bool WireReader::SkipBytes(size_t count) {
  if (bytes_left() < count) return Fail("a fixed-size value is cut off");
  cursor_ += count;
  return true;
}

bool WireReader::SkipField(uint32_t tag, int nesting_left) {
  switch (static_cast<WireType>(tag & 7)) {
    case WireType::kVarint: {
      uint64_t value;
      return ReadVarint(value);
    }
    case WireType::kFixed64:
      return SkipBytes(8);
    case WireType::kLength: {
      std::string_view bytes;
      return ReadBytes(bytes);
    }
    // Groups are obsolete, but protobuf still skips unknown ones.
    case WireType::kGroupStart:
      return SkipGroup(tag >> 3, nesting_left);
    case WireType::kFixed32:
      return SkipBytes(4);
    default:
      return Fail("a field has an unknown wire type");
  }
}

bool WireReader::SkipGroup(uint32_t field, int nesting_left) {
  // SkipGroup and SkipField call each other. Without a limit, a body full of group tags would
  // exhaust the stack.
  if (nesting_left <= 0) return Fail("groups are nested too deep");
  for (;;) {
    uint32_t tag = 0;
    // Not ReadTag: it refuses the end of a group, which ends this loop.
    if (!ReadRawTag(tag)) return false;
    if (tag == MakeTag(field, WireType::kGroupEnd)) return true;
    if ((tag & 7) == static_cast<uint32_t>(WireType::kGroupEnd)) {
      return Fail("a group ends that did not begin");
    }
    if (!SkipField(tag, nesting_left - 1)) return false;
  }
}

}  // namespace penstock::tfs
