// SPDX-License-Identifier: Apache-2.0
// Parses protobuf's text format.
#pragma once

#include <string_view>

#include "base/status.h"
#include "config/text_error.h"

namespace google::protobuf {
class Message;
}

namespace penstock {

// Parses `text` into `message`. INVALID_ARGUMENT, with `file`, line and column: wrong syntax, or a
// field or a value that the message does not have; the error says which it has. Thread-safe.
Status ParseTextFormat(std::string_view text, std::string_view file,
                       google::protobuf::Message& message, TextWords words = TextWords::kShown);

}  // namespace penstock
