// SPDX-License-Identifier: Apache-2.0
// Checks for UTF-8. Text from outside (file names, messages of libraries) may be any bytes, but
// protobuf strings and JSON must be UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock {

// Returns the length of the UTF-8 character at the start of `text`, or 0 if there is no valid one.
// `text` must not be empty. Overlong forms, surrogates and values above U+10FFFF are not valid.
size_t Utf8Length(std::string_view text);

// Returns the code point of `character`, which must be one valid UTF-8 character.
char32_t Utf8Value(std::string_view character);

// True for characters that end a line, command a terminal, change the order in which the text
// around them is shown, or hide a text: Unicode's controls (C0, DEL, C1), its line and paragraph
// separator, its bidirectional controls, U+FEFF, and its tags. Text for people shows them as
// escapes if it comes from outside.
bool IsControl(char32_t value);

// True if all of `text` is valid UTF-8.
bool IsUtf8(std::string_view text);

// Replaces each byte that belongs to no valid character with U+FFFD.
std::string ToUtf8(std::string_view text);

}  // namespace penstock
