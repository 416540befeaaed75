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

// One value of a profile, and its position. May be a secret.
struct AwsValue {
  std::string text;
  std::string endpoint;  // FILE:LINE
};

// Values by their names in lower case.
using AwsProfile = std::map<std::string, AwsValue, std::less<>>;

// In a config file the section of a profile x is named [profile x], except for [default].
enum class AwsFileKind { kCredentials, kConfig };

// Returns the profile in `text`, or nullopt. Sections with the same name are merged. The format is
// that of Python's configparser, as the AWS command line reads it: a line with a deeper indent
// continues the one above. INVALID_ARGUMENT names `file` and the wrong line, and quotes nothing of
// it, since it may be a secret.
StatusOr<std::optional<AwsProfile>> ParseAwsProfile(std::string_view text, const std::string& file,
                                                    AwsFileKind kind, std::string_view profile);

// Reads the profile from a file. Also returns nullopt if the file does not exist, and
// INVALID_ARGUMENT if it cannot be read.
StatusOr<std::optional<AwsProfile>> ReadAwsProfile(const std::string& file, AwsFileKind kind,
                                                   std::string_view profile);

}  // namespace penstock
