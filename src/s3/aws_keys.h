// SPDX-License-Identifier: Apache-2.0
// Keys together with the endpoint where they were found.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "s3/aws_signature.h"

namespace penstock {

// Keys, and their names at the endpoint where they were found, for messages.
struct AwsKeys {
  AwsCredentials credentials;
  std::string access_key_id_name;  // without keys: all sources that may have them
  std::string secret_access_key_name;
  std::string session_token_name;
  // When the keys expire; nullopt: unknown or never.
  std::optional<std::chrono::system_clock::time_point> end = {};
};

// The reason to give if IsPlain is false.
inline constexpr std::string_view kNotPlain = "has spaces, line ends or other odd bytes";

// True if the text can be part of a header and has no spaces.
inline bool IsPlain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace penstock
