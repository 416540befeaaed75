// SPDX-License-Identifier: Apache-2.0
// Keys as they were found somewhere.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "sources/objectstore/aws_signature.h"

namespace penstock {

// Keys, and what they are called where they stand, for messages.
struct AwsKeys {
  AwsCredentials credentials;
  std::string access_key_id_name;  // without keys: all places where they could be
  std::string secret_access_key_name;
  std::string session_token_name;
  // When they end; nullopt: nothing is known of it.
  std::optional<std::chrono::system_clock::time_point> end = {};
};

// What IsPlain is not.
inline constexpr std::string_view kNotPlain = "has spaces, line ends or other odd bytes";

// What can stand in a header, without blanks.
inline bool IsPlain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace penstock
