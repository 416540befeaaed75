// SPDX-License-Identifier: Apache-2.0
// The layout of all errors over HTTP. It is that of TensorFlow Serving, because its clients parse
// it.
#pragma once

#include <string>
#include <string_view>

#include "net/call.h"

namespace penstock::net {

// Returns {"error": "..."}, indented by 4 spaces. Bytes of `message` that are not UTF-8 become
// U+FFFD.
std::string ErrorJson(std::string_view message);

// Returns an answer with that body. `status` is an HTTP status. The caller may add headers.
HttpResponse ErrorResponse(int status, std::string_view message);

}  // namespace penstock::net
