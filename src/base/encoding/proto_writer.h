// SPDX-License-Identifier: Apache-2.0
// Appends fields of protobuf messages to strings, for messages that few calls need. Answers of
// calls are written by protocols/tfs/wire_writer.h, which knows their size before.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace penstock {

// The bytes of a number without a tag: one for each 7 bits.
constexpr size_t VarintBytes(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) * 9 + 64) / 64;
}

// A number of 1 to 10 bytes, without a tag: 7 bits in each byte, the lowest first.
inline void AppendVarint(std::string& to, uint64_t value) {
  // Tags and most lengths have one byte. Apart from the loop, their code is one comparison.
  if (value < 0x80) [[likely]] {
    to += static_cast<char>(value);
    return;
  }
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}

// A field of type int64, uint64, bool or an enum. A negative number is cast to uint64_t, and takes
// ten bytes.
inline void AppendVarintField(std::string& to, uint32_t field, uint64_t value) {
  AppendVarint(to, field << 3);
  AppendVarint(to, value);
}

// A field of type fixed64; also a double, by std::bit_cast.
inline void AppendFixed64Field(std::string& to, uint32_t field, uint64_t value) {
  AppendVarint(to, field << 3 | 1);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);  // all machines that it runs on are little-endian
  to.append(bytes, sizeof value);
}

// The start of a field of `size` bytes, which the caller appends.
inline void AppendBytesHead(std::string& to, uint32_t field, uint64_t size) {
  AppendVarint(to, field << 3 | 2);
  AppendVarint(to, size);
}
// A string, bytes, or a message that is encoded already.
inline void AppendBytesField(std::string& to, uint32_t field, std::string_view bytes) {
  AppendBytesHead(to, field, bytes.size());
  to += bytes;
}
inline void AppendBytesField(std::string& to, uint32_t field, std::span<const uint8_t> bytes) {
  AppendBytesField(to, field, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace penstock
