// SPDX-License-Identifier: Apache-2.0
#include "base/percent.h"

namespace penstock {
namespace {

// Returns -1 if `c` is no hexadecimal digit.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Decodes the escape at the start of `text`, if there is one.
std::optional<char> EscapedByte(std::string_view text) {
  if (text.size() < 3 || text[0] != '%') return std::nullopt;
  const int high = HexDigit(text[1]);
  const int low = HexDigit(text[2]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

// `bad_escapes` counts the '%' that start no valid escape.
std::string Decoded(std::string_view text, size_t& bad_escapes) {
  std::string decoded;
  while (!text.empty()) {
    const std::optional<char> byte = EscapedByte(text);
    if (!byte && text[0] == '%') ++bad_escapes;
    decoded += byte.value_or(text[0]);
    text.remove_prefix(byte ? 3 : 1);
  }
  return decoded;
}

}  // namespace

std::string PercentDecoded(std::string_view text) {
  size_t bad_escapes = 0;
  return Decoded(text, bad_escapes);
}

std::optional<std::string> PercentDecodedStrictly(std::string_view text) {
  size_t bad_escapes = 0;
  std::string decoded = Decoded(text, bad_escapes);
  if (bad_escapes > 0) return std::nullopt;
  return decoded;
}

}  // namespace penstock
