// SPDX-License-Identifier: Apache-2.0
// Reads the files that AWS's tools share: ~/.aws/credentials and ~/.aws/config.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace penstock {

// What a profile says of one name, and where. May be a secret.
struct AwsValue {
  std::string text;
  std::string place;  // FILE:LINE
};

// By name, in lower case.
using AwsProfile = std::map<std::string, AwsValue, std::less<>>;

// In a config file the section of a profile x is [profile x], but for [default].
enum class AwsFileKind { kCredentials, kConfig };

// The profile that `text` has, or nullopt. Sections of one name are one. INVALID_ARGUMENT names
// `file` and the line that is none, and quotes nothing of it.
StatusOr<std::optional<AwsProfile>> ParseAwsProfile(std::string_view text, const std::string& file,
                                                    AwsFileKind kind, std::string_view profile);

// The same of a file; nullopt also if it is not there, and INVALID_ARGUMENT if it cannot be read.
StatusOr<std::optional<AwsProfile>> ReadAwsProfile(const std::string& file, AwsFileKind kind,
                                                   std::string_view profile);

}  // namespace penstock
