// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace penstock {

size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                                       : 4;
  if (length == 0 || first > 0xF4 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // A smaller byte after E0 or F0 would be an overlong form. A larger one after ED would be a
  // surrogate, and one after F4 a value above U+10FFFF.
  if (first == 0xE0 && byte(1) < 0xA0) return 0;
  if (first == 0xED && byte(1) > 0x9F) return 0;
  if (first == 0xF0 && byte(1) < 0x90) return 0;
  if (first == 0xF4 && byte(1) > 0x8F) return 0;
  return length;
}

char32_t Utf8Value(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first;
  // The first byte of n begins with n ones and a zero.
  char32_t value = first & (0xFFu >> (character.size() + 1));
  for (const char c : character.substr(1))
    value = value << 6 | (static_cast<unsigned char>(c) & 0x3F);
  return value;
}

bool IsControl(char32_t value) {
  if (value < 0xA0) return value < 0x20 || value >= 0x7F;
  return value == 0x61C ||                        // the Arabic letter mark
         value == 0x200E || value == 0x200F ||    // marks of a direction
         (value >= 0x2028 && value <= 0x202E) ||  // separators, embeddings, overrides
         (value >= 0x2066 && value <= 0x2069) ||  // isolates
         value == 0xFEFF ||                       // the byte order mark, which nobody sees
         (value >= 0xE0000 && value <= 0xE007F);  // tags: a text that nobody sees
}

bool IsUtf8(std::string_view text) {
  // Most text is ASCII, so check eight bytes at a time as long as it is.
  for (uint64_t bytes; text.size() >= sizeof bytes; text.remove_prefix(sizeof bytes)) {
    std::memcpy(&bytes, text.data(), sizeof bytes);
    if ((bytes & 0x8080808080808080) != 0) break;
  }
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string ToUtf8(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) {
      result += "\xEF\xBF\xBD";
      text.remove_prefix(1);
    } else {
      result.append(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  return result;
}

}  // namespace penstock
