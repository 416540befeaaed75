// SPDX-License-Identifier: Apache-2.0
#include "access/token.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/encoding/hex.h"

namespace penstock::access {
namespace {

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
  AppendHex(text, hash);
  return text;
}

std::optional<TokenHash> FromHex(std::string_view text) {
  TokenHash hash;
  if (text.size() != 2 * hash.size()) return std::nullopt;
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  if (!ReadHex(lower, hash)) return std::nullopt;
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
