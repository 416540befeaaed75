// SPDX-License-Identifier: Apache-2.0
// Messages in protobuf's text format.
#pragma once

#include <string_view>

#include "base/status.h"

namespace google::protobuf {
class Message;
}

namespace penstock::tfs {

// Fills `message` from `text`. INVALID_ARGUMENT, with `file`, line and column: syntax, or a field
// that the message does not have. Thread-safe.
Status ParseTextFormat(std::string_view text, std::string_view file,
                       google::protobuf::Message& message);

}  // namespace penstock::tfs
