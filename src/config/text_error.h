// SPDX-License-Identifier: Apache-2.0
// Explains errors of protobuf's text parser: adds the names of fields and values that would be
// right, and leaves out words of the text that may be secret.
#pragma once

#include <string>
#include <string_view>

namespace google::protobuf {
class Descriptor;
}

namespace penstock {

// Whether an error may repeat words of the text. Errors go to the log, so a text that can have
// tokens or keys needs kHidden: a secret without quotes, or in the wrong place, is a wrong word.
enum class TextWords { kShown, kHidden };

// An error as protobuf reports it. Lines and columns count from 0; a tab moves to the next
// multiple of 8.
struct TextError {
  int line = 0;
  int column = 0;
  std::string reason;
};

// Returns "LINE:COLUMN: what is wrong", counted from 1. `error` is about `text`, which is a message
// of type `root`. With TextWords::kHidden all words of the result are protobuf's or names that the
// schema has.
std::string ExplainTextError(const google::protobuf::Descriptor& root, std::string_view text,
                             const TextError& error, TextWords words);

}  // namespace penstock
