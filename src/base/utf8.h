// SPDX-License-Identifier: Apache-2.0
// Text from outside (file names, messages of libraries) may be any bytes; protobuf's strings and
// JSON may not.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock {

// The length of the UTF-8 character that `text`, which is not empty, starts with, or 0 if it does
// not start with one. Overlong forms, surrogates and what lies above U+10FFFF are none.
size_t Utf8Length(std::string_view text);

// `text` with U+FFFD in the place of each byte that belongs to no character.
std::string ToUtf8(std::string_view text);

}  // namespace penstock
