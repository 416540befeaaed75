// SPDX-License-Identifier: Apache-2.0
#include "base/encoding/hex.h"

namespace penstock {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

}  // namespace

void AppendHex(std::string& to, std::span<const uint8_t> bytes) {
  size_t at = to.size();
  to.resize(at + 2 * bytes.size());
  for (const uint8_t byte : bytes) {
    to[at++] = kDigits[byte >> 4];
    to[at++] = kDigits[byte & 15];
  }
}

bool ReadHex(std::string_view text, std::span<uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const size_t high = kDigits.find(text[2 * i]);
    const size_t low = kDigits.find(text[2 * i + 1]);
    if (high == kDigits.npos || low == kDigits.npos) return false;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

}  // namespace penstock
