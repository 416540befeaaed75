// SPDX-License-Identifier: Apache-2.0
#include "access/token.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace penstock::access {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

// The value of a hexadecimal digit; none for other characters.
std::optional<uint8_t> DigitOf(char c) {
  if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  const size_t at = kHexDigits.find(c);
  if (at == kHexDigits.npos) return std::nullopt;
  return static_cast<uint8_t>(at);
}

uint64_t Load(const char* from, size_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, from, bytes);
  return word;
}

}  // namespace

std::string NewToken() {
  std::array<uint8_t, 32> random;
  PENSTOCK_CHECK(RAND_bytes(random.data(), random.size()) == 1, "the system has no random numbers");
  std::array<unsigned char, 45> text;  // 44 characters and a NUL
  EVP_EncodeBlock(text.data(), random.data(), random.size());
  std::string token(kTokenPrefix);
  token.append(reinterpret_cast<const char*>(text.data()), 43);  // without the padding
  // base64url: these two characters need no escape in a URL, a shell or a header.
  std::replace(token.begin(), token.end(), '+', '-');
  std::replace(token.begin(), token.end(), '/', '_');
  return token;
}

TokenHash HashOf(std::string_view token) {
  TokenHash hash;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), hash.data());
  return hash;
}

std::string ToHex(const TokenHash& hash) {
  std::string text;
  for (const uint8_t byte : hash) {
    text += kHexDigits[byte >> 4];
    text += kHexDigits[byte & 15];
  }
  return text;
}

std::optional<TokenHash> FromHex(std::string_view text) {
  TokenHash hash;
  if (text.size() != 2 * hash.size()) return std::nullopt;
  for (size_t i = 0; i < hash.size(); ++i) {
    const auto high = DigitOf(text[2 * i]);
    const auto low = DigitOf(text[2 * i + 1]);
    if (!high || !low) return std::nullopt;
    hash[i] = static_cast<uint8_t>(*high << 4 | *low);
  }
  return hash;
}

bool EqualInConstantTime(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  constexpr size_t kWord = sizeof(uint64_t);
  // Words, not bytes as CRYPTO_memcmp: it runs for each request.
  uint64_t difference = 0;
  size_t at = 0;
  for (; at + kWord <= one.size(); at += kWord)
    difference |= Load(one.data() + at, kWord) ^ Load(other.data() + at, kWord);
  if (at < one.size())
    difference |= Load(one.data() + at, one.size() - at) ^ Load(other.data() + at, one.size() - at);
  return difference == 0;
}

}  // namespace penstock::access
