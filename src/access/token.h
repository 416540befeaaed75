// SPDX-License-Identifier: Apache-2.0
// Bearer tokens and their hashes. A token has 256 random bits, so that nobody can guess one: a fast
// hash protects it as well as a slow one would.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::access {

// The SHA-256 of a token's text.
using TokenHash = std::array<uint8_t, 32>;

// The prefix by which scanners find tokens that were published by mistake.
inline constexpr std::string_view kTokenPrefix = "pst_";

// Returns a new token: the prefix, and 43 characters of base64url from 32 bytes of the system's
// random generator. Aborts if the system has none.
std::string NewToken();

TokenHash HashOf(std::string_view token);

// Hexadecimal text. FromHex returns none unless `text` has 64 digits, in upper or lower case.
std::string ToHex(const TokenHash& hash);
std::optional<TokenHash> FromHex(std::string_view text);

// Compares in a time that depends only on the sizes, so that a client cannot find a secret by
// measuring how long wrong guesses take.
bool EqualInConstantTime(std::string_view one, std::string_view other);

}  // namespace penstock::access
